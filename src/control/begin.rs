//! What a server begins with: its own, or what another process gives it.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::crew::Crew;
use super::restart::{Heir, Inheritance, Link, Sockets};
use super::{Failure, listen, options, random};
use crate::auth::ConnectionNames;
use crate::auth::keys::{self, Secret};
use crate::config::Settings;
use crate::driver::{Doorbells, sys};
use crate::journal::{Journal, Reader};
use crate::proto::sse::Epoch;
use crate::worker::Node;

/// All that serving needs.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) node: Arc<Node>,
    readers: Vec<Reader>,
    listeners: Vec<Vec<TcpListener>>,
    pub(super) admin: Option<TcpListener>,
    links: Vec<Link>,
    heir: Option<Heir>,
    pub(super) inheritance: Inheritance,
    pub(super) sockets: Sockets,
}

impl Begun {
    /// The secret of this run.
    pub(super) fn generated(&self) -> Secret {
        Secret::of(self.inheritance.generated.clone())
    }

    /// Real addresses.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.inheritance.addresses
    }

    /// It goes on for another process.
    pub(super) fn is_heir(&self) -> bool {
        self.heir.is_some()
    }

    /// A server that begins by itself.
    pub(super) fn fresh(settings: &Settings, workers: usize) -> Result<Self, Failure> {
        let stall_max_ms = settings.stream.idle_timeout_ms;
        let (addresses, listeners) = listen::bind_all(&settings.listen, workers, stall_max_ms)?;
        let (admin_addresses, mut admin) =
            listen::bind_all(&[settings.admin.address], 1, stall_max_ms)?;
        let generated = keys::generate().map_err(|_| Failure::Random)?;
        let live = options::live(settings, &generated, workers).map_err(Failure::Secret)?;
        let (journal, readers) = Journal::new(
            options::journal(settings),
            Epoch::from_random(random()?),
            1,
            random()?,
            workers,
        );
        let names = ConnectionNames::generate().ok_or(Failure::Random)?;
        let node = Node::new(live, journal, names, workers, sys::unix_ms());
        let admin = admin.pop().and_then(|mut one| one.pop());
        let inheritance = Inheritance {
            workers,
            listen: settings.listen.clone(),
            admin: settings.admin.address,
            addresses,
            admin_address: admin_addresses.first().copied(),
            generated: generated.as_bytes().to_vec(),
        };
        Ok(Self {
            sockets: Sockets::of(&listeners, admin.as_ref()).map_err(Failure::Inherit)?,
            node: Arc::new(node),
            readers,
            listeners,
            admin,
            links: Vec::new(),
            heir: None,
            inheritance,
        })
    }

    /// A server that takes over.
    pub(super) fn inherited(settings: &Settings, heir: Heir) -> Result<Self, Failure> {
        match Self::inherit(settings, &heir) {
            Ok(begun) => Ok(Self { heir: Some(heir), ..begun }),
            Err(failure) => {
                heir.refuse(&failure.to_string());
                Err(failure)
            }
        }
    }

    fn inherit(settings: &Settings, heir: &Heir) -> Result<Self, Failure> {
        let given = heir.begin(settings).map_err(Failure::Inherit)?;
        let inheritance = given.inheritance;
        let workers = inheritance.workers;
        let generated = Secret::of(inheritance.generated.clone());
        let live = options::live(settings, &generated, workers).map_err(Failure::Secret)?;
        let sockets =
            Sockets::of(&given.listeners, given.admin.as_ref()).map_err(Failure::Inherit)?;
        let record = heir.hear_node().map_err(Failure::Inherit)?;
        let journal = options::journal(settings);
        let (node, readers) = Node::restore(record, live, journal, workers, sys::unix_ms())
            .map_err(|error| Failure::Inherit(std::io::Error::other(error)))?;
        Ok(Self {
            node: Arc::new(node),
            readers,
            listeners: given.listeners,
            admin: given.admin,
            links: given.links,
            heir: None,
            inheritance,
            sockets,
        })
    }

    /// Starts the workers; with an heir only when nothing can go wrong any more.
    pub(super) fn start(
        &mut self,
        settings: &Settings,
        doorbells: &Arc<Doorbells>,
    ) -> Result<Crew, Failure> {
        let listeners = std::mem::take(&mut self.listeners);
        let (readers, links) = (std::mem::take(&mut self.readers), std::mem::take(&mut self.links));
        let waiting = Crew::start(settings, &self.node, doorbells, listeners, readers, links);
        let Some(heir) = &self.heir else { return Ok(waiting?.go()) };
        let waiting = waiting.inspect_err(|failure| heir.refuse(&failure.to_string()))?;
        heir.wait_to_go().map_err(Failure::Inherit)?;
        Ok(waiting.go())
    }
}
