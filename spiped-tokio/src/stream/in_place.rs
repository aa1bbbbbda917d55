//! A stream as the relay has it: plaintext is read to where it is sealed, and written from where it
//! was opened.

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::{SpipedStream, fault};
use crate::net::Socket;

/// How many slots of records one read fills at most.
const SLOTS: usize = 64;
/// How many slots a read has before there is much to read. The kernel takes as many places without memory
/// for a list of them.
const FEW_SLOTS: usize = 8;
/// How many pieces of plaintext one write takes at most.
const PIECES: usize = 64;

/// Why nothing was sealed.
pub(crate) enum SealError {
    Read(io::Error),
    Seal(io::Error),
}

impl SpipedStream<&Socket> {
    /// Sends all that was sealed.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sending.poll_send(&mut self.io, cx)
    }

    /// Reads plaintext into the slots of records, and seals it there. All that was sealed before is sent by
    /// then, but for what a handshake has left. `unasked` has it read without an event, and stays as long as
    /// there may be more. Gives its length in bytes, 0 at its end.
    pub(crate) fn poll_seal(
        &mut self,
        cx: &mut Context<'_>,
        plain: &Socket,
        unasked: &mut bool,
    ) -> Poll<Result<usize, SealError>> {
        if !*unasked {
            ready!(plain.poll_readable(cx)).map_err(SealError::Read)?;
        }
        let sending = &mut self.sending;
        let buffer = sending.records.room();
        let mut slots: [_; SLOTS] = std::array::from_fn(|_| IoSliceMut::new(&mut []));
        let places = if sending.is_bulk { SLOTS } else { FEW_SLOTS };
        let (mut count, mut room) = (0, 0);
        for (slot, place) in slots
            .iter_mut()
            .take(places)
            .zip(sending.sealer.slots(buffer))
        {
            room += place.len();
            *slot = IoSliceMut::new(place);
            count += 1;
        }
        let slots = slots.split_at_mut(count).0;
        let mut read = Poll::Pending;
        if *unasked {
            read = plain.read_unasked(slots);
            *unasked = matches!(read, Poll::Ready(Ok(len)) if len == room);
        }
        if read.is_pending() {
            read = plain.poll_read_vectored(cx, slots);
        }
        let Poll::Ready(Ok(len @ 1..)) = read else {
            sending.records.shrink();
            return read.map_err(SealError::Read);
        };
        sending.is_bulk |= len == room;
        let sealed = sending.sealer.seal(buffer, len);
        let sealed = sealed.map_err(|error| SealError::Seal(fault(error)))?;
        sending.records.fill(sealed);
        Poll::Ready(Ok(len))
    }

    /// Ends this direction. The record that says so and the FIN go out in one segment where the system can
    /// do it.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_end_by(cx, |io, cx, end| io.poll_write_last(cx, end))
    }

    /// Whether the peer's records have a fault, which [`poll_open`](Self::poll_open) tells behind the
    /// plaintext before it.
    pub(crate) fn is_broken(&self) -> bool {
        self.receiving.broken
    }

    /// Reads records and opens them where they are; false at the peer's end.
    pub(crate) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.receiving.poll_open(&mut self.io, cx)
    }

    /// Writes plaintext from where it was opened, until there is none; gives the length of a part of
    /// it, in bytes, or 0.
    pub(crate) fn poll_write_out(
        &mut self,
        cx: &mut Context<'_>,
        mut plain: &Socket,
    ) -> Poll<io::Result<usize>> {
        let receiving = &mut self.receiving;
        if receiving.plaintext.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let records = receiving.records.filled();
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let mut count = 0;
        for (piece, at) in pieces.iter_mut().zip(&receiving.plaintext) {
            *piece = IoSlice::new(records.get(at.clone()).unwrap_or_default());
            count += 1;
        }
        let written = Pin::new(&mut plain).poll_write_vectored(cx, pieces.split_at(count).0);
        let len = ready!(written)?;
        if len == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        receiving.take(len);
        Poll::Ready(Ok(len))
    }

    /// The bytes of records that wait to be sent, and those that were read and not passed on.
    pub(crate) fn in_flight(&self) -> (usize, usize) {
        let (unsent, received) = (&self.sending.records, &self.receiving.records);
        (unsent.filled().len(), received.filled().len())
    }

    /// Gives back what only speeds data up, for a time without any.
    pub(crate) fn rest(&mut self) {
        self.receiving.rest();
        self.sending.rest();
    }
}
