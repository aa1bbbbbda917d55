//! The direction that opens: records are opened where they were read to, and plaintext leaves as it
//! lies there.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use spiped_proto::{Opened, Opener};
use tokio::io::{AsyncRead, ReadBuf};

use super::fault;
use crate::buffer::Buffer;

#[derive(Debug)]
pub(super) struct Receiving {
    opener: Opener,
    /// Records that were read: those that are open, then the rest.
    pub(super) records: Buffer,
    /// The length in bytes of the records that are open.
    open: usize,
    /// Where in the records there is plaintext that nobody has taken.
    pub(super) plaintext: VecDeque<Range<usize>>,
    /// The FIN was read.
    ended: bool,
    /// There is a fault, or the connection was cut. Plaintext from before that may still be at hand.
    pub(super) broken: bool,
}

impl Receiving {
    /// Opens `first` in front of all that is read.
    pub(super) fn new(opener: Opener, first: Vec<u8>) -> Self {
        Self {
            opener,
            records: Buffer::holding(first),
            open: 0,
            plaintext: VecDeque::new(),
            ended: false,
            broken: false,
        }
    }

    /// Reads and opens until there is plaintext; false at the end of it, once the FIN was read and
    /// the opener agrees.
    pub(super) fn poll_open<IO>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<bool>>
    where
        IO: AsyncRead + Unpin,
    {
        let opened = self.poll_plaintext(io, cx);
        self.broken |= matches!(opened, Poll::Ready(Err(_)));
        opened
    }

    fn poll_plaintext<IO>(&mut self, io: &mut IO, cx: &mut Context<'_>) -> Poll<io::Result<bool>>
    where
        IO: AsyncRead + Unpin,
    {
        while self.plaintext.is_empty() {
            self.open_all()?;
            if !self.plaintext.is_empty() {
                break;
            }
            if self.ended {
                let unopened = self.records.filled().len();
                self.opener.end(unopened).map_err(fault)?;
                return Poll::Ready(Ok(false));
            }
            let Poll::Ready(read) = self.poll_read(io, cx) else {
                self.records.shrink();
                return Poll::Pending;
            };
            read?;
        }
        Poll::Ready(Ok(true))
    }

    /// Reads behind the records at hand, or notes the FIN.
    fn poll_read<IO>(&mut self, io: &mut IO, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        IO: AsyncRead + Unpin,
    {
        let mut room = ReadBuf::new(self.records.room());
        ready!(Pin::new(io).poll_read(cx, &mut room))?;
        let len = room.filled().len();
        self.ended = len == 0;
        self.records.fill(len);
        Poll::Ready(Ok(()))
    }

    /// Opens all records that are whole, up to a fault. That stays, and comes once the plaintext
    /// before it has been taken; the stream is broken at once.
    fn open_all(&mut self) -> io::Result<()> {
        while let Some(unopened @ [_, ..]) = self.records.filled_mut().get_mut(self.open..) {
            match self.opener.open(unopened) {
                Ok(Opened::Data {
                    consumed,
                    plaintext,
                }) => {
                    let at = self.open + plaintext.start..self.open + plaintext.end;
                    self.plaintext.push_back(at);
                    self.open += consumed;
                }
                Ok(Opened::End { consumed }) => self.open += consumed,
                Ok(Opened::Incomplete { .. }) => break,
                Err(_) if !self.plaintext.is_empty() => {
                    self.broken = true;
                    break;
                }
                Err(error) => return Err(fault(error)),
            }
        }
        self.take(0);
        Ok(())
    }

    /// Counts plaintext as taken. With the last of it, the records that it was in go.
    pub(super) fn take(&mut self, mut len: usize) {
        while let Some(first) = self.plaintext.front_mut() {
            if len < first.len() {
                first.start += len;
                return;
            }
            len -= first.len();
            self.plaintext.pop_front();
        }
        self.records.consume(self.open);
        self.open = 0;
    }

    /// Copies plaintext at hand to a reader.
    pub(super) fn copy_to(&mut self, out: &mut ReadBuf<'_>) {
        while let Some(first) = self.plaintext.front()
            && out.remaining() > 0
        {
            let piece = self.records.filled().get(first.clone());
            let piece = piece.unwrap_or_default();
            let len = piece.len().min(out.remaining());
            out.put_slice(piece.split_at(len).0);
            self.take(len);
        }
    }

    pub(super) fn rest(&mut self) {
        self.opener.rest();
        if self.plaintext.is_empty() {
            self.plaintext = VecDeque::new();
        }
    }

    /// Plaintext that was not taken, and what was not opened.
    pub(super) fn into_unread(self) -> (Vec<u8>, Vec<u8>) {
        let records = self.records.filled();
        let plaintext = self
            .plaintext
            .iter()
            .filter_map(|at| records.get(at.clone()));
        let unopened = records.get(self.open..).unwrap_or_default();
        (plaintext.flatten().copied().collect(), unopened.to_vec())
    }
}
