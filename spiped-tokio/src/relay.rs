//! Moves data both ways between a plain socket and an encrypted stream, until both directions have
//! ended or one of them breaks.

use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use portable_atomic::AtomicU64;
use tokio::io::AsyncWrite;
use tokio::time::{Instant, Sleep, sleep};

use crate::net::Socket;
use crate::stream::{SealError, SpipedStream};

/// The plaintext bytes that a relay has moved each way, which can be read while it runs.
#[derive(Debug, Default)]
pub struct Traffic {
    sealed: AtomicU64,
    opened: AtomicU64,
}

impl Traffic {
    /// Returns the bytes that went from the plain socket to the encrypted one.
    #[must_use]
    pub fn sealed(&self) -> u64 {
        self.sealed.load(Ordering::Relaxed)
    }

    /// Returns the bytes that went from the encrypted socket to the plain one.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }
}

/// Adds `len` to the counter `moved`. Only the relay writes to it, so a load and a store are enough.
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
/// Then both sockets are [finished](Socket::finish); when it breaks, they are not. From the first pause on
/// both peers are [probed](Socket::start_keepalive). `traffic` is kept up to date all the while.
///
/// # Errors
///
/// The first failure of either connection, which is noticed also while the other side accepts no
/// data. It is a failure, too, that a peer is gone whose direction has ended, while the other has not: one at
/// a unix socket for ten seconds, one of TCP by a reset behind its FIN, as the system's probes bring about.
/// What it sent is then delivered all the same, as the other socket is finished.
pub async fn relay(
    plain: &Socket,
    encrypted: &mut SpipedStream<&Socket>,
    traffic: &Traffic,
) -> Result<(), RelayError> {
    let encrypted_socket: &Socket = encrypted.get_ref();
    let (plain_broken, encrypted_broken) = (pin!(plain.broken()), pin!(encrypted_socket.broken()));
    let mut plain_broken = Broken::new(plain_broken);
    let mut encrypted_broken = Broken::new(encrypted_broken);
    let (mut sealing, mut opening) = (State::Starting, State::Moving);
    let mut timer = pin!(sleep(BEAT));
    let mut pulse = Pulse::default();
    let mut unasked = false;
    let mut deserted = Deserted::default();
    poll_fn(|cx| {
        let sealed = poll_seal(
            &mut sealing,
            &mut unasked,
            cx,
            plain,
            encrypted,
            &traffic.sealed,
        )?;
        let opened = poll_open(&mut opening, cx, encrypted, plain, &traffic.opened)?;
        if sealed.is_ready() && opened.is_ready() {
            plain.finish();
            encrypted_socket.finish();
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(error) = plain_broken.poll(cx, sealed.is_ready()) {
            if is_behind_end(&error) {
                encrypted_socket.finish();
            }
            return Poll::Ready(Err(RelayError::Plain(error)));
        }
        if let Poll::Ready(error) = encrypted_broken.poll(cx, opened.is_ready()) {
            if is_behind_end(&error) {
                plain.finish();
            }
            return Poll::Ready(Err(RelayError::Encrypted(error)));
        }
        if sealed.is_ready()
            && let Poll::Ready(error) = deserted.poll(cx, plain)
        {
            encrypted_socket.finish();
            return Poll::Ready(Err(RelayError::Plain(error)));
        }
        if opened.is_ready()
            && let Poll::Ready(error) = deserted.poll(cx, encrypted_socket)
        {
            plain.finish();
            return Poll::Ready(Err(RelayError::Encrypted(error)));
        }
        if let Poll::Ready(is_quiet) = pulse.poll(cx, timer.as_mut(), traffic) {
            if is_quiet {
                encrypted.rest();
                plain.start_keepalive();
                encrypted_socket.start_keepalive();
            }
            // Where a read has ended early, no event comes for what lies behind.
            unasked = true;
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await
}

/// Full reads that a direction makes in a row before other connections get their turn.
const READS_PER_TURN: u32 = 4;
/// How often a relay that moves data looks for data without an event. After as long without data, the stream
/// gives back what only speeds it up.
const BEAT: Duration = Duration::from_millis(300);

#[derive(Clone, Copy)]
enum State {
    /// The end of the handshake may be unsent.
    Starting,
    Moving,
    Ending,
    Ended,
}

/// Read, seal, write; ready once the plain socket's end has been passed on. `unasked` has the next read look
/// without an event.
fn poll_seal(
    state: &mut State,
    unasked: &mut bool,
    cx: &mut Context<'_>,
    plain: &Socket,
    encrypted: &mut SpipedStream<&Socket>,
    moved: &AtomicU64,
) -> Poll<Result<(), RelayError>> {
    let mut reads = 0;
    loop {
        // Neither data nor an end goes to a peer whose records have a fault. The other direction ends
        // the relay, once the plaintext before the fault is written.
        if encrypted.is_broken() {
            return Poll::Pending;
        }
        // More is read only once all is written: what waits for a slow peer waits in the kernel and
        // fills its records. Only the end of a handshake goes out with the data of the first read.
        let starts = matches!(state, State::Starting);
        if !starts {
            ready!(encrypted.poll_send(cx)).map_err(RelayError::Encrypted)?;
        }
        match state {
            State::Moving if reads == READS_PER_TURN => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            State::Starting | State::Moving => {
                reads += 1;
                *state = State::Moving;
                match encrypted.poll_seal(cx, plain, mem::take(unasked)) {
                    Poll::Pending if starts => {}
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(0)) => *state = State::Ending,
                    Poll::Ready(Ok(len)) => count(moved, len),
                    Poll::Ready(Err(SealError::Read(error))) => {
                        return Poll::Ready(Err(RelayError::Plain(error)));
                    }
                    Poll::Ready(Err(SealError::Seal(error))) => {
                        return Poll::Ready(Err(RelayError::Encrypted(error)));
                    }
                }
            }
            State::Ending => {
                ready!(encrypted.poll_end(cx)).map_err(RelayError::Encrypted)?;
                *state = State::Ended;
            }
            State::Ended => return Poll::Ready(Ok(())),
        }
    }
}

/// Read, open, write; ready once the peer's end has been passed on.
fn poll_open(
    state: &mut State,
    cx: &mut Context<'_>,
    encrypted: &mut SpipedStream<&Socket>,
    mut plain: &Socket,
    moved: &AtomicU64,
) -> Poll<Result<(), RelayError>> {
    let mut reads = 0;
    loop {
        loop {
            match ready!(encrypted.poll_write_out(cx, plain)).map_err(RelayError::Plain)? {
                0 => break,
                len => count(moved, len),
            }
        }
        match state {
            State::Starting | State::Moving if reads == READS_PER_TURN => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            State::Starting | State::Moving => {
                reads += 1;
                if !ready!(encrypted.poll_open(cx)).map_err(RelayError::Encrypted)? {
                    *state = State::Ending;
                }
            }
            State::Ending => {
                ready!(Pin::new(&mut plain).poll_shutdown(cx)).map_err(RelayError::Plain)?;
                *state = State::Ended;
            }
            State::Ended => return Poll::Ready(Ok(())),
        }
    }
}

/// Notices that a side breaks.
struct Broken<'a, F> {
    broken: Pin<&'a mut F>,
    /// The error of a reset behind the side's FIN.
    behind_end: Option<io::Error>,
}

impl<'a, F: Future<Output = io::Error>> Broken<'a, F> {
    fn new(broken: Pin<&'a mut F>) -> Self {
        Self {
            broken,
            behind_end: None,
        }
    }

    /// Ready once the side is broken. A reset behind its FIN takes nothing away of what it sent: it is told
    /// once that has been passed on.
    fn poll(&mut self, cx: &mut Context<'_>, passed_on: bool) -> Poll<io::Error> {
        let error = match self.behind_end.take() {
            Some(error) => error,
            None => ready!(self.broken.as_mut().poll(cx)),
        };
        if is_behind_end(&error) && !passed_on {
            self.behind_end = Some(error);
            return Poll::Pending;
        }
        Poll::Ready(error)
    }
}

/// Whether a connection was reset behind the FIN of its peer: Linux says EPIPE then.
fn is_behind_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Notices that the side whose direction has ended is gone, while the other direction goes on. Few relays
/// come to wait for it.
#[derive(Default)]
struct Deserted<'a>(Option<Pin<Box<dyn Future<Output = io::Error> + Send + 'a>>>);

impl<'a> Deserted<'a> {
    fn poll(&mut self, cx: &mut Context<'_>, side: &'a Socket) -> Poll<io::Error> {
        if side.is_probed() {
            return Poll::Pending;
        }
        let waiting = self.0.get_or_insert_with(|| Box::pin(side.deserted()));
        waiting.as_mut().poll(cx)
    }
}

/// Beats while data moves, and once after it has stopped.
#[derive(Default)]
struct Pulse {
    is_running: bool,
    /// The bytes that had moved at the last beat; none before the first.
    moved: Option<u64>,
}

impl Pulse {
    /// Ready at each beat; true if no data has moved since the one before.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut timer: Pin<&mut Sleep>,
        traffic: &Traffic,
    ) -> Poll<bool> {
        let moved = Some(traffic.sealed().wrapping_add(traffic.opened()));
        if !self.is_running {
            if moved == self.moved {
                return Poll::Pending;
            }
            self.is_running = true;
            self.moved = moved;
            timer.as_mut().reset(Instant::now() + BEAT);
        }
        ready!(timer.poll(cx));
        let is_quiet = moved == self.moved;
        self.is_running = false;
        Poll::Ready(is_quiet)
    }
}

#[cfg(test)]
mod tests;
