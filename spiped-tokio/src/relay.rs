//! Moves data both ways between a plain socket and an encrypted stream, until both directions have
//! ended or one of them breaks.

mod peer_watch;
mod pulse;

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use portable_atomic::AtomicU64;
use tokio::io::AsyncWrite;
use tokio::time::sleep;

use crate::net::Socket;
use crate::stream::{SealError, SpipedStream};
use peer_watch::PeerWatch;
use pulse::{BEAT, Pulse};

/// The plaintext bytes that a relay has moved each way, which can be read while it runs.
#[derive(Debug, Default)]
pub struct Traffic {
    sealed: AtomicU64,
    opened: AtomicU64,
    /// How often a part of a record has come or gone.
    parts: AtomicU64,
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

    /// Returns a number that stays the same exactly while no data moves. A part of a record is data too: over
    /// a slow line, one takes long.
    #[must_use]
    pub fn progress(&self) -> u64 {
        let parts = self.parts.load(Ordering::Relaxed);
        self.sealed()
            .wrapping_add(self.opened())
            .wrapping_add(parts)
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
/// both peers are [probed](Socket::start_keepalive), unless that was stopped. `traffic` is kept up to date all
/// the while.
///
/// # Errors
///
/// The first failure of either connection, which is noticed also while the other side accepts no
/// data. It is a failure, too, that a peer is gone whose direction has ended, while the other has not: one at
/// a unix socket, which is looked for every ten seconds from its end on, and one of TCP by a reset behind its
/// FIN, as the system's probes bring about. What it sent is then delivered all the same, as the other socket is
/// finished.
pub async fn relay(
    plain: &Socket,
    encrypted: &mut SpipedStream<&Socket>,
    traffic: &Traffic,
) -> Result<(), RelayError> {
    let encrypted_socket: &Socket = encrypted.get_ref();
    let plain_broken = pin!(plain.broken());
    let mut plain_watch = PeerWatch::new(plain, plain_broken);
    let encrypted_broken = pin!(encrypted_socket.broken());
    let mut encrypted_watch = PeerWatch::new(encrypted_socket, encrypted_broken);
    let (mut sealing, mut opening) = (State::Starting, State::Moving);
    let mut timer = pin!(sleep(BEAT));
    let mut pulse = Pulse::default();
    let mut unasked = false;
    let mut in_flight = encrypted.in_flight();
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
        if in_flight != encrypted.in_flight() {
            in_flight = encrypted.in_flight();
            count(&traffic.parts, 1);
        }
        if sealed.is_ready() && opened.is_ready() {
            plain.finish();
            encrypted_socket.finish();
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(loss) = plain_watch.poll(cx, sealed.is_ready()) {
            let error = loss.pass_on_to(encrypted_socket);
            return Poll::Ready(Err(RelayError::Plain(error)));
        }
        if let Poll::Ready(loss) = encrypted_watch.poll(cx, opened.is_ready()) {
            let error = loss.pass_on_to(plain);
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
                match encrypted.poll_seal(cx, plain, unasked) {
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
