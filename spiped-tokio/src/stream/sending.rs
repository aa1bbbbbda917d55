//! The direction that seals: plaintext is put where it is sealed, and leaves as it lies there.

use std::io::{self, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use spiped_proto::Sealer;
use tokio::io::AsyncWrite;

use super::fault;
use crate::buffer::Buffer;

/// How many slots one read fills at most.
const SLOTS: usize = 64;

#[derive(Debug)]
pub(crate) struct Sending {
    sealer: Sealer,
    /// Sealed, but not sent.
    records: Buffer,
}

impl Sending {
    pub(crate) fn new(sealer: Sealer) -> Self {
        Self {
            sealer,
            records: Buffer::default(),
        }
    }

    /// Has one vectored read put plaintext into the slots of an empty buffer, and seals it there;
    /// says how many bytes it were, 0 at the end of them.
    pub(crate) fn poll_seal(
        &mut self,
        read: impl FnOnce(&mut [IoSliceMut<'_>]) -> Poll<io::Result<usize>>,
    ) -> Poll<Result<usize, SealError>> {
        let room = self.records.room();
        let mut places: [IoSliceMut<'_>; SLOTS] = std::array::from_fn(|_| IoSliceMut::new(&mut []));
        let mut count = 0;
        for (place, slot) in places.iter_mut().zip(self.sealer.slots(room)) {
            *place = IoSliceMut::new(slot);
            count += 1;
        }
        let read = read(places.split_at_mut(count).0);
        let Poll::Ready(Ok(len @ 1..)) = read else {
            self.records.shrink();
            return read.map_err(SealError::Read);
        };
        let sealed = self.sealer.seal(self.records.room(), len);
        self.records
            .fill(sealed.map_err(|error| SealError::Seal(fault(error)))?);
        Poll::Ready(Ok(len))
    }

    /// Seals as much plaintext as an empty buffer has slots for; says how many bytes it were.
    pub(crate) fn seal(&mut self, plaintext: &[u8]) -> io::Result<usize> {
        let room = self.records.room();
        let mut rest = plaintext;
        for slot in self.sealer.slots(room) {
            let (data, later) = rest.split_at(rest.len().min(slot.len()));
            slot.split_at_mut(data.len()).0.copy_from_slice(data);
            rest = later;
        }
        let taken = plaintext.len() - rest.len();
        let sealed = self.sealer.seal(room, taken);
        let sealed = sealed.map_err(|error| {
            self.records.shrink();
            fault(error)
        })?;
        self.records.fill(sealed);
        Ok(taken)
    }

    /// Puts what ends the stream into an empty buffer.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let sealed = self.sealer.finish(self.records.room()).map_err(fault)?;
        self.records.fill(sealed);
        self.records.shrink();
        Ok(())
    }

    /// Sends all that was sealed.
    pub(crate) fn poll_send<IO>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>>
    where
        IO: AsyncWrite + Unpin,
    {
        while !self.records.is_empty() {
            let sent = ready!(Pin::new(&mut *io).poll_write(cx, self.records.filled()))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.records.consume(sent);
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn rest(&mut self) {
        self.sealer.rest();
    }

    /// What was sealed and not sent.
    pub(crate) fn into_unsent(self) -> Vec<u8> {
        self.records.filled().to_vec()
    }
}

/// Why a read was not sealed.
pub(crate) enum SealError {
    Read(io::Error),
    Seal(io::Error),
}
