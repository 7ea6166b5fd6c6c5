//! The clients of a run.

mod account;
mod answer;
mod publisher;
mod stream;
mod subscriber;

pub(crate) use publisher::Publisher;
pub(crate) use subscriber::Subscriber;

use super::flaw::Flaw;
use super::kernel::Told;
use super::net::Net;

/// One client.
#[derive(Debug)]
pub(crate) enum Client {
    Publisher(Publisher),
    Subscriber(Box<Subscriber>),
}

impl Client {
    /// Takes what the kernel tells it.
    pub(crate) fn hear(&mut self, net: &mut Net<'_>, told: Told) -> Result<(), Flaw> {
        match (self, told) {
            (Self::Publisher(own), Told::Bytes(link, bytes)) => return own.read(net, link, &bytes),
            (Self::Subscriber(own), Told::Bytes(link, bytes)) => {
                return own.read(net, link, &bytes);
            }
            (Self::Publisher(own), Told::End(link) | Told::Refused(link)) => {
                own.ended(net, link);
            }
            (Self::Subscriber(own), Told::End(link) | Told::Refused(link)) => {
                own.ended(net, link);
            }
            (Self::Publisher(own), Told::Timer { token, .. }) => own.timer(net, token),
            (Self::Subscriber(own), Told::Timer { token, .. }) => own.timer(net, token),
        }
        Ok(())
    }

    /// Begins some time from now.
    pub(crate) fn begin(&mut self, net: &mut Net<'_>, delay_us: u64) {
        match self {
            Self::Publisher(own) => own.wake_in(net, delay_us),
            Self::Subscriber(own) => own.wake_in(net, delay_us),
        }
    }

    /// Faults are over.
    pub(crate) fn calm(&mut self, net: &mut Net<'_>) {
        match self {
            Self::Publisher(own) => own.calm(net),
            Self::Subscriber(own) => own.calm(net),
        }
    }

    /// Closes and does not come again.
    pub(crate) fn leave(&mut self, net: &mut Net<'_>) {
        match self {
            Self::Publisher(own) => own.leave(net),
            Self::Subscriber(own) => own.leave(net),
        }
    }

    pub(crate) fn waits(&self) -> String {
        match self {
            Self::Publisher(own) => format!("publisher: {}", own.waits()),
            Self::Subscriber(own) => format!("subscriber: {}", own.waits()),
        }
    }
}
