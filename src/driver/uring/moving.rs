//! Sockets that go to another process, or come from one.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

use super::{UringDriver, name, place};
use crate::driver::contract::{Completion, ConnId, Sock};
use crate::driver::error::{Errno, StartError};
use crate::driver::sys::enter::Wait;
use crate::driver::sys::moving::duplicate;
use crate::driver::sys::ring::Descriptors;
use crate::driver::user_data::UserData;

/// Descriptors put into a table by one call.
const AT_ONCE: usize = 256;

impl UringDriver {
    pub(super) fn take_receive_back(&mut self, sock: Sock, id: ConnId) {
        let (ring, _) = place(sock);
        let data = UserData::Receive(id);
        let Some(bank) = self.banks.get_mut(ring) else { return };
        if bank.feed_no_more(id) {
            self.receiving.remove(&data.pack());
            self.ready.push(Completion::ReceiveEnded { id, errno: libc::ECANCELED });
        } else {
            bank.ring.cancel(data);
        }
    }

    /// Needs IORING_OP_FIXED_FD_INSTALL (6.8) where descriptors are direct.
    pub(super) fn descriptors_of(&mut self, socks: &[Sock]) -> Result<Vec<OwnedFd>, Errno> {
        if self.settings.descriptors == Descriptors::Plain {
            return socks.iter().map(|sock| duplicate(place(*sock).1.cast_signed())).collect();
        }
        for sock in socks {
            let (ring, index) = place(*sock);
            let bank = self.banks.get_mut(ring).ok_or(Errno(libc::EBADF))?;
            bank.ring.install(index);
        }
        let mut made: HashMap<Sock, Result<OwnedFd, Errno>> = HashMap::with_capacity(socks.len());
        for ring in 0..self.banks.len() {
            // They complete in the call that submits them; what else has come is kept.
            self.collect_submitted(ring)?;
            let Some(bank) = self.banks.get_mut(ring) else { continue };
            let installed = bank.ring.take_installed().into_iter();
            made.extend(installed.map(|(index, fd)| (name(ring, index), fd)));
        }
        socks.iter().map(|sock| made.remove(sock).unwrap_or(Err(Errno(libc::EIO)))).collect()
    }

    /// Submits all that is queued and takes what has completed.
    fn collect_submitted(&mut self, ring: usize) -> Result<(), Errno> {
        while let Some(bank) = self.banks.get_mut(ring)
            && bank.ring.queued() > 0
        {
            bank.ring.enter(Wait::Drain);
            if let Some(errno) = bank.ring.dead() {
                return Err(errno);
            }
        }
        self.collect(ring);
        Ok(())
    }

    pub(super) fn take_over(&mut self, sockets: Vec<OwnedFd>) -> Result<Vec<Sock>, Errno> {
        let mut socks = Vec::with_capacity(sockets.len());
        if self.settings.descriptors == Descriptors::Plain {
            let bank = self.banks.first_mut().ok_or(Errno(libc::EBADF))?;
            for socket in sockets {
                bank.live += 1;
                socks.push(name(0, socket.into_raw_fd().cast_unsigned()));
            }
            return Ok(socks);
        }
        let mut left = sockets.as_slice();
        while !left.is_empty() {
            let room = |error: StartError| match error {
                StartError::Setup(errno) | StartError::EventFd(errno) => errno,
                StartError::Table { errno, .. } | StartError::Buffers { errno, .. } => errno,
                StartError::Listener { errno, .. } => errno,
                StartError::Settings => Errno(libc::EINVAL),
            };
            let ring = self.filling().map_err(room)?.ok_or(Errno(libc::ENFILE))?;
            let Some(bank) = self.banks.get_mut(ring) else { return Err(Errno(libc::EBADF)) };
            // Nothing is accepted before all are taken over: the table fills from its beginning.
            let from = bank.live;
            let count = left.len().min(bank.free() as usize).min(AT_ONCE);
            let (now, later) = left.split_at(count);
            let raw: Vec<i32> = now.iter().map(AsRawFd::as_raw_fd).collect();
            bank.ring.put(from, &raw)?;
            let taken = u32::try_from(count).unwrap_or(u32::MAX);
            bank.live += taken;
            socks.extend((from..from + taken).map(|index| name(ring, index)));
            left = later;
        }
        Ok(socks)
    }
}
