//! Moves data both ways between a plain socket and an encrypted stream, until both directions have
//! ended or one of them breaks.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use crate::buffer::Buffer;
use crate::net::Socket;
use crate::pipeline::Pace;
use crate::stream::SpipedStream;
use crate::stream::bulk::{Reader, Writer};

/// How many plaintext bytes a relay has moved; can be looked at while it does.
#[derive(Debug, Default)]
pub struct Traffic {
    sealed: AtomicU64,
    opened: AtomicU64,
}

impl Traffic {
    /// From the plain socket to the encrypted one.
    #[must_use]
    pub fn sealed(&self) -> u64 {
        self.sealed.load(Ordering::Relaxed)
    }

    /// From the encrypted socket to the plain one.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }
}

/// Only the relay writes, so it need not lock the counter.
fn count(moved: &AtomicU64, len: usize) {
    let before = moved.load(Ordering::Relaxed);
    moved.store(before.wrapping_add(len as u64), Ordering::Relaxed);
}

/// Which side of a relay broke, and how.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The plain connection failed.
    #[error("the plain connection broke: {0}")]
    Plain(io::Error),
    /// The encrypted connection failed, was cut or tampered with.
    #[error("the encrypted connection broke: {0}")]
    Encrypted(io::Error),
}

/// Relays until both directions have ended; a half that ends is passed on as a half that ends.
///
/// Then both sockets are [finished](Socket::finish); when it breaks, neither is. `traffic` is kept up
/// to date all the while.
///
/// # Errors
///
/// The first failure of either connection, which is noticed also while the other side accepts no
/// data.
pub async fn relay(
    plain: &Socket,
    encrypted: &mut SpipedStream<&Socket>,
    traffic: &Traffic,
) -> Result<(), RelayError> {
    let mut plain_broken = pin!(plain.broken());
    let encrypted_socket: &Socket = encrypted.get_ref();
    let mut encrypted_broken = pin!(encrypted_socket.broken());
    let mut sealing = Direction::default();
    let mut opening = Direction::default();
    poll_fn(|cx| {
        let sealed = sealing.poll(cx, &mut &*plain, encrypted, &traffic.sealed);
        let sealed = sealed.map_err(|fault| match fault {
            Fault::Read(error) => RelayError::Plain(error),
            Fault::Write(error) => RelayError::Encrypted(error),
        })?;
        let opened = opening.poll(cx, encrypted, &mut &*plain, &traffic.opened);
        let opened = opened.map_err(|fault| match fault {
            Fault::Read(error) => RelayError::Encrypted(error),
            Fault::Write(error) => RelayError::Plain(error),
        })?;
        if sealed.is_ready() && opened.is_ready() {
            plain.finish();
            encrypted_socket.finish();
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(error) = plain_broken.as_mut().poll(cx) {
            return Poll::Ready(Err(RelayError::Plain(error)));
        }
        encrypted_broken
            .as_mut()
            .poll(cx)
            .map(|error| Err(RelayError::Encrypted(error)))
    })
    .await
}

/// Full reads that a direction makes in a row before other connections get their turn.
const READS_PER_TURN: u32 = 4;

#[derive(Default)]
struct Direction {
    state: State,
    /// Read, but not yet taken by the writer.
    data: Buffer,
    pace: Pace,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Moving,
    Ending,
    Ended,
}

enum Fault {
    Read(io::Error),
    Write(io::Error),
}

impl Direction {
    /// Moves what can be moved; ready once the reader's end has been passed on.
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        moved: &AtomicU64,
    ) -> Poll<Result<(), Fault>>
    where
        R: Reader,
        W: Writer,
    {
        let began = self.pace.begin();
        let polled = self.poll_moving(cx, reader, writer, moved);
        self.pace.end(began);
        polled
    }

    fn poll_moving<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        moved: &AtomicU64,
    ) -> Poll<Result<(), Fault>>
    where
        R: Reader,
        W: Writer,
    {
        let mut reads = 0;
        loop {
            match self.state {
                State::Moving => {
                    ready!(self.poll_write_out(cx, writer)).map_err(Fault::Write)?;
                    if reads == READS_PER_TURN {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    reads += 1;
                    let Poll::Ready(read) = self.poll_fill(cx, reader) else {
                        self.pace.pause();
                        // Nothing is held back for data that may never come.
                        ready!(Pin::new(&mut *writer).poll_flush(cx)).map_err(Fault::Write)?;
                        return Poll::Pending;
                    };
                    let len = read.map_err(Fault::Read)?;
                    self.pace.read(len);
                    count(moved, len);
                    if len == 0 {
                        self.state = State::Ending;
                    }
                }
                State::Ending => {
                    ready!(Pin::new(&mut *writer).poll_shutdown(cx)).map_err(Fault::Write)?;
                    self.state = State::Ended;
                }
                State::Ended => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Writes all that was read and has the writer send all that it holds. Only then is more read:
    /// what waits for a slow writer waits in the kernel and fills its packets. With bulk data, a spare
    /// thread may hold some of it meanwhile.
    fn poll_write_out<W>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<io::Result<()>>
    where
        W: Writer,
    {
        if self.pace.wants_help() {
            writer.poll_send_behind(cx, &mut self.data)
        } else {
            writer.poll_send(cx, &mut self.data)
        }
    }

    fn poll_fill<R>(&mut self, cx: &mut Context<'_>, reader: &mut R) -> Poll<io::Result<usize>>
    where
        R: Reader,
    {
        if self.pace.wants_help() {
            reader.poll_fill_ahead(cx, &mut self.data)
        } else {
            reader.poll_fill(cx, &mut self.data)
        }
    }
}

#[cfg(test)]
mod tests {
    use spiped_proto::Secret;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;
    use crate::handshake::Handshaker;

    /// Both directions of a relay with help from the start: what one sends in pieces, the other gets
    /// piece by piece, and then the end.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn with_help_nothing_is_held_back_either() {
        let handshaker = Handshaker::new(Secret::from_key_file(b"key"));
        let (encrypted, far) = UnixStream::pair().unwrap();
        let encrypted = Socket::from(encrypted);
        let (stream, far) = tokio::join!(handshaker.connect(&encrypted), handshaker.accept(far));
        let (mut stream, far) = (stream.unwrap(), far.unwrap());
        let (plain, near) = UnixStream::pair().unwrap();
        let plain = Socket::from(plain);

        let (mut sealing, mut opening) = (Direction::default(), Direction::default());
        (sealing.pace, opening.pace) = (Pace::helped(), Pace::helped());
        let traffic = Traffic::default();
        let relaying = poll_fn(|cx| {
            let sealed = sealing.poll(cx, &mut &plain, &mut stream, &traffic.sealed);
            let opened = opening.poll(cx, &mut stream, &mut &plain, &traffic.opened);
            assert!(!matches!(&sealed, Poll::Ready(Err(_))));
            assert!(!matches!(&opened, Poll::Ready(Err(_))));
            if sealed.is_ready() && opened.is_ready() {
                return Poll::Ready(());
            }
            // A short read ends the help.
            (sealing.pace, opening.pace) = (Pace::helped(), Pace::helped());
            Poll::Pending
        });
        let data: Vec<u8> = (0..2_000_000_u64).map(|i| ((i * i) >> 5) as u8).collect();
        let pieces = [2_000_000, 1, 65_536, 131_072, 200_000, 65_536, 1024, 40_000];
        let (mut from_near, mut to_near) = near.into_split();
        let (mut from_far, mut to_far) = tokio::io::split(far);
        let talking = async {
            for piece in pieces.map(|len| &data[..len]) {
                let (mut question, mut answer) = (vec![0; piece.len()], vec![0; piece.len()]);
                let (asked, heard, answered, understood) = tokio::join!(
                    to_near.write_all(piece),
                    from_far.read_exact(&mut question),
                    async {
                        to_far.write_all(piece).await?;
                        to_far.flush().await
                    },
                    from_near.read_exact(&mut answer)
                );
                asked.and(answered).unwrap();
                heard.and(understood).unwrap();
                assert!(question == piece && answer == piece, "{}", piece.len());
            }
            for piece in pieces.map(|len| &data[..len]) {
                let mut question = vec![0; piece.len()];
                let sent = to_near.write_all(piece);
                let (asked, heard) = tokio::join!(sent, from_far.read_exact(&mut question));
                asked.and(heard.map(drop)).unwrap();
                assert!(question == piece, "{}", piece.len());
            }
            to_near.shutdown().await.unwrap();
            to_far.shutdown().await.unwrap();
            assert_eq!(from_far.read(&mut [0]).await.unwrap(), 0);
            assert_eq!(from_near.read(&mut [0]).await.unwrap(), 0);
        };
        let all = async { tokio::join!(relaying, talking) };
        tokio::time::timeout(std::time::Duration::from_secs(30), all)
            .await
            .expect("all of it arrives");
    }
}
