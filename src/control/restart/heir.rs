//! The new process: it takes over what another has.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;

use super::wire::{Inheritance, Link, Said, read_record};
use super::{PATIENCE, VARIABLE, own_hello};
use crate::config::Settings;
use crate::worker::NodeRecord;

/// A process that is started to take over.
#[derive(Debug)]
pub(in crate::control) struct Heir {
    link: Link,
}

/// What it begins with.
#[derive(Debug)]
pub(in crate::control) struct Given {
    pub(in crate::control) inheritance: Inheritance,
    pub(in crate::control) listeners: Vec<Vec<TcpListener>>,
    pub(in crate::control) admin: Option<TcpListener>,
    pub(in crate::control) links: Vec<Link>,
}

impl Heir {
    /// None for a process that begins by itself. The standard input is the way to the other one;
    /// it is empty afterwards.
    pub(in crate::control) fn of_environment() -> io::Result<Option<Self>> {
        let Some(parent) = std::env::var_os(VARIABLE) else { return Ok(None) };
        // Set for an ancestor, perhaps, that has long taken over.
        if parent.to_str() != Some(&std::os::unix::process::parent_id().to_string()) {
            return Ok(None);
        }
        let link = Link::of(rustix::stdio::stdin().try_clone_to_owned()?);
        rustix::stdio::dup2_stdin(File::open("/dev/null")?.as_fd())?;
        link.patience(PATIENCE)?;
        Ok(Some(Self { link }))
    }

    /// Hears what there is. `settings` must serve the same addresses.
    pub(in crate::control) fn begin(&self, settings: &Settings) -> io::Result<Given> {
        self.link.say(&Said::Hello(own_hello()))?;
        let (said, _) = self.link.hear()?;
        let Said::Begin(inheritance) = said else { return Err(super::out_of_turn(&said)) };
        let inheritance = *inheritance;
        check_addresses("listen", &inheritance.listen, &settings.listen)?;
        check_addresses("admin.address", &[inheritance.admin], &[settings.admin.address])?;
        let mut given = Given {
            listeners: (0..inheritance.workers).map(|_| Vec::new()).collect(),
            inheritance,
            admin: None,
            links: Vec::new(),
        };
        loop {
            let (said, descriptors) = self.link.hear()?;
            let mut descriptors = descriptors.into_iter();
            match (said, descriptors.next()) {
                (Said::Listener(worker), Some(listener)) => {
                    if let Some(of) = given.listeners.get_mut(worker) {
                        of.push(listener.into());
                    }
                }
                (Said::Admin, Some(listener)) => given.admin = Some(listener.into()),
                (Said::Link(_), Some(socket)) => {
                    let link = Link::of(socket);
                    link.patience(PATIENCE)?;
                    given.links.push(link);
                }
                (Said::Ready, _) => return Ok(given),
                (said, _) => return Err(super::out_of_turn(&said)),
            }
        }
    }

    /// Could begin; waits for what the node knows.
    pub(in crate::control) fn hear_node(&self) -> io::Result<NodeRecord> {
        self.link.say(&Said::Ready)?;
        let (said, descriptors) = self.link.hear()?;
        let Said::Node = said else { return Err(super::out_of_turn(&said)) };
        read_record(descriptors)
    }

    /// Has all it needs; waits for the word to go. Without it this process ends, and the other
    /// one goes on.
    pub(in crate::control) fn wait_to_go(&self) -> io::Result<()> {
        self.link.say(&Said::Adopted)?;
        let (said, _) = self.link.hear()?;
        let Said::Go = said else { return Err(super::out_of_turn(&said)) };
        Ok(())
    }

    /// Says why it gives up.
    pub(in crate::control) fn refuse(&self, why: &str) {
        let _ = self.link.say(&Said::Refused(why.to_owned()));
    }
}

fn check_addresses(key: &str, had: &[SocketAddr], set: &[SocketAddr]) -> io::Result<()> {
    if had == set {
        return Ok(());
    }
    let list =
        |all: &[SocketAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let (had, set) = (list(had), list(set));
    Err(io::Error::other(format!(
        "{key} is {set} now and was {had}: another address needs a cold restart"
    )))
}
