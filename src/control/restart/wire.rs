//! What two processes say to each other while one takes over from the other.
//!
//! Packets of a Unix socket (unix(7), SOCK_SEQPACKET): each is one [`Said`] with the descriptors that
//! belong to it. What is large stands in a file in memory, of which the descriptor is sent.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How all that is said is written. Raise it whenever a type that is part of it changes.
pub(super) const FORMAT: u32 = 1;
/// Most descriptors of one packet; the kernel takes 253 (SCM_MAX_FD).
pub(super) const DESCRIPTORS_MAX: usize = 240;
const SPACE_BYTES: usize = rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX));
/// Longest packet.
const PACKET_BYTES: usize = 32 << 10;

/// One packet.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Said {
    /// The heir's first word.
    Hello(Hello),
    /// The first answer to it.
    Begin(Box<Inheritance>),
    /// With a listening socket of this worker; all of one come in the order of addresses.
    Listener(usize),
    /// With the listening socket of the operators' address.
    Admin,
    /// With a connection to this worker.
    Link(usize),
    /// The heir could begin.
    Ready,
    /// With the record of the node.
    Node,
    /// With the record of a worker.
    Worker,
    /// With sockets of the worker's connections, in order.
    Sockets,
    /// The heir has all it needs.
    Adopted,
    /// From now on the heir serves.
    Go,
    /// The heir cannot go on, and why.
    Refused(String),
}

/// Who wants to take over.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) format: u32,
    /// What is remembered by hash is of no use where this is another number.
    pub(super) witness: u64,
}

/// What settings cannot say.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::control) struct Inheritance {
    pub(in crate::control) workers: usize,
    /// Addresses as they are set.
    pub(in crate::control) listen: Vec<SocketAddr>,
    pub(in crate::control) admin: SocketAddr,
    /// The same with their real ports.
    pub(in crate::control) addresses: Vec<SocketAddr>,
    pub(in crate::control) admin_address: Option<SocketAddr>,
    /// The secret of this run.
    #[serde(with = "serde_bytes")]
    pub(in crate::control) generated: Vec<u8>,
}

/// One end of a conversation.
#[derive(Debug)]
pub(in crate::control) struct Link(OwnedFd);

impl Link {
    pub(super) fn pair() -> io::Result<(Self, Self)> {
        let (one, other) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(one), Self(other)))
    }

    pub(super) fn of(socket: OwnedFd) -> Self {
        Self(socket)
    }

    pub(super) fn into_inner(self) -> OwnedFd {
        self.0
    }

    /// Nobody waits longer than this for the other end.
    pub(super) fn patience(&self, patience: Duration) -> io::Result<()> {
        set_socket_timeout(&self.0, Timeout::Recv, Some(patience))?;
        set_socket_timeout(&self.0, Timeout::Send, Some(patience))?;
        Ok(())
    }

    pub(super) fn say(&self, what: &Said) -> io::Result<()> {
        self.say_with(what, &[])
    }

    /// At most [`DESCRIPTORS_MAX`] descriptors; the other end gets copies.
    pub(super) fn say_with(&self, what: &Said, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = postcard::to_stdvec(what).map_err(io::Error::other)?;
        // A signal, or work of a ring, may come between.
        let sent = retry_on_intr(|| {
            let mut space = vec![MaybeUninit::uninit(); SPACE_BYTES];
            let mut beside = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors))
            {
                return Err(Errno::TOOBIG);
            }
            sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut beside, SendFlags::NOSIGNAL)
        })?;
        if sent < bytes.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(())
    }

    /// UnexpectedEof where the other end is gone.
    pub(super) fn hear(&self) -> io::Result<(Said, Vec<OwnedFd>)> {
        let mut bytes = vec![0; PACKET_BYTES];
        let mut space = vec![MaybeUninit::uninit(); SPACE_BYTES];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let got = retry_on_intr(|| {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            recvmsg(&self.0, &mut parts, &mut beside, RecvFlags::CMSG_CLOEXEC)
        })?;
        if got.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut descriptors = Vec::new();
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(some) = message {
                descriptors.extend(some);
            }
        }
        let said = postcard::from_bytes(&bytes[..got.bytes]).map_err(io::Error::other)?;
        Ok((said, descriptors))
    }

    /// Says something with a record of any length.
    pub(super) fn say_record<T: Serialize>(&self, what: &Said, record: &T) -> io::Result<()> {
        let mut file = File::from(memfd_create("ringcast-record", MemfdFlags::CLOEXEC)?);
        let mut writer = io::BufWriter::with_capacity(1 << 20, &mut file);
        postcard::to_io(record, &mut writer).map_err(io::Error::other)?;
        writer.flush()?;
        drop(writer);
        self.say_with(what, &[file.as_fd()])
    }
}

/// The record that came with a packet.
pub(super) fn read_record<T: DeserializeOwned>(descriptors: Vec<OwnedFd>) -> io::Result<T> {
    let missing = || io::Error::other("a record is missing");
    let mut file = File::from(descriptors.into_iter().next().ok_or_else(missing)?);
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    postcard::from_bytes(&bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_carry_descriptors_and_records() {
        let (one, other) = Link::pair().unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        let many: Vec<BorrowedFd<'_>> = (0..DESCRIPTORS_MAX).map(|_| reader.as_fd()).collect();
        one.say_with(&Said::Sockets, &many).unwrap();
        let (said, descriptors) = other.hear().unwrap();
        assert!(matches!(said, Said::Sockets) && descriptors.len() == DESCRIPTORS_MAX);
        writer.write_all(b"x").unwrap();
        let mut byte = [0];
        let last = descriptors.into_iter().last().unwrap();
        File::from(last).read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x", "it is the same pipe");

        let record: Vec<u64> = (0..100_000).collect();
        one.say_record(&Said::Node, &record).unwrap();
        let (said, descriptors) = other.hear().unwrap();
        assert!(matches!(said, Said::Node));
        assert_eq!(read_record::<Vec<u64>>(descriptors).unwrap(), record);
        drop(one);
        assert_eq!(other.hear().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
