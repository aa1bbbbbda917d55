//! The direction that seals: plaintext is put where it is sealed, and leaves as it lies there.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use spiped_proto::Sealer;
use tokio::io::AsyncWrite;

use super::fault;
use crate::buffer::Buffer;

#[derive(Debug)]
pub(super) struct Sending {
    pub(super) sealer: Sealer,
    /// Sealed, but not sent.
    pub(super) records: Buffer,
    /// Whether the next read is to have all slots: true once one has filled the few that it had.
    pub(super) is_bulk: bool,
}

impl Sending {
    /// Sends `first` in front of all records.
    pub(super) fn new(sealer: Sealer, first: Vec<u8>) -> Self {
        Self {
            sealer,
            records: Buffer::holding(first),
            is_bulk: false,
        }
    }

    /// Seals as much plaintext as an empty buffer has slots for; says how many bytes it were.
    pub(super) fn seal(&mut self, plaintext: &[u8]) -> io::Result<usize> {
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
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let sealed = self.sealer.finish(self.records.room()).map_err(fault)?;
        self.records.fill(sealed);
        self.records.shrink();
        Ok(())
    }

    /// Sends all that was sealed.
    pub(super) fn poll_send<IO>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>>
    where
        IO: AsyncWrite + Unpin,
    {
        self.poll_send_by(|records| Pin::new(&mut *io).poll_write(cx, records))
    }

    /// Sends all that was sealed with a function that writes some of it.
    pub(super) fn poll_send_by(
        &mut self,
        mut write: impl FnMut(&[u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<()>> {
        while !self.records.is_empty() {
            let sent = ready!(write(self.records.filled()))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.records.consume(sent);
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn rest(&mut self) {
        self.sealer.rest();
        self.is_bulk = false;
    }

    /// What was sealed and not sent.
    pub(super) fn into_unsent(self) -> Vec<u8> {
        self.records.filled().to_vec()
    }
}
