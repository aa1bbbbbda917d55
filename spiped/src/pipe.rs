//! A pipe: accepts connections, admits as many as its limit allows, and serves each in a task.

use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use spiped_tokio::{Address, Listener, Peer, Socket, Traffic};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::cli::Mode;
use crate::connection::{ConnectionError, Route};
use crate::log::{self, Class};
use crate::reason::reason;

/// How many connections may be in a handshake that has not proved anything yet.
const UNPROVED_MAX: usize = 1000;
/// How long accepting pauses when the system has no descriptors or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A running pipe.
#[derive(Debug)]
pub struct Pipe {
    mode: Mode,
    route: Route,
    /// One for each connection that may be served; `None` for no limit.
    slots: Option<Arc<Semaphore>>,
    unproved: Arc<Semaphore>,
}

/// Held by a connection as long as it counts.
type Permit = Option<OwnedSemaphorePermit>;

impl Pipe {
    /// A pipe that serves up to `max_connections` at a time.
    #[must_use]
    pub fn new(mode: Mode, route: Route, max_connections: Option<NonZeroU64>) -> Self {
        let slots = max_connections.map(|max| {
            usize::try_from(max.get()).map_or(Semaphore::MAX_PERMITS, |max| {
                max.min(Semaphore::MAX_PERMITS)
            })
        });
        Self {
            mode,
            route,
            slots: slots.map(|slots| Arc::new(Semaphore::new(slots))),
            unproved: Arc::new(Semaphore::new(UNPROVED_MAX)),
        }
    }

    /// Accepts and serves connections until `drain` turns true; returns when the last of them has
    /// ended, or when `patience` is over. Says how many go on then, until the runtime ends.
    pub async fn run(
        self: Arc<Self>,
        listener: Listener,
        mut drain: watch::Receiver<bool>,
        patience: Option<Duration>,
    ) -> usize {
        // Every connection holds a sender; the receiver learns when the last one is gone.
        let (running, mut none_running) = mpsc::channel::<()>(1);
        tokio::select! {
            () = self.accept(&listener, running) => {}
            _ = drain.wait_for(|&drain| drain) => {}
        }
        drop(listener);
        let none_left = none_running.recv();
        let over = match patience {
            None => none_left.await.is_none(),
            Some(patience) => tokio::time::timeout(patience, none_left).await.is_ok(),
        };
        if over {
            return 0;
        }
        none_running.sender_strong_count()
    }

    /// Looks the target up again every so often, for ever.
    pub async fn keep_target_fresh(&self, interval: Duration) {
        let report = |address: &Address, error: &io::Error| {
            log::warning(
                Class::Lookup,
                format_args!("cannot resolve {address}, keeping its last addresses: {error}"),
            );
        };
        self.route.target.keep_fresh(interval, report).await;
    }

    async fn accept(self: &Arc<Self>, listener: &Listener, running: mpsc::Sender<()>) {
        loop {
            let permit = self.admit().await;
            match listener.accept().await {
                Ok((source, peer)) => {
                    let pipe = Arc::clone(self);
                    let running = running.clone();
                    tokio::spawn(async move {
                        pipe.serve(source, peer, permit).await;
                        drop(running);
                    });
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    log::warning(
                        Class::Accept,
                        format_args!("cannot accept a connection: {}", reason(&error)),
                    );
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Waits until a connection may be accepted. A plaintext one takes its slot now, an encrypted
    /// one only once it has proved itself.
    async fn admit(&self) -> Permit {
        let slot = self.slot().await;
        match self.mode {
            Mode::Encrypt => slot,
            Mode::Decrypt => acquire(&self.unproved).await,
        }
    }

    async fn slot(&self) -> Permit {
        let slots = self.slots.as_ref()?;
        if slots.available_permits() == 0 {
            log::warning(
                Class::Limit,
                format_args!("connection limit reached: others wait until one ends"),
            );
        }
        acquire(slots).await
    }

    async fn serve(&self, source: Socket, peer: Peer, permit: Permit) {
        let mut traffic = Traffic::default();
        let served = match self.mode {
            Mode::Encrypt => self.route.encrypt(&source, &mut traffic).await,
            Mode::Decrypt => {
                let admit = async {
                    drop(permit);
                    self.slot().await
                };
                self.route.decrypt(&source, admit, &mut traffic).await
            }
        };
        if let Err(error) = served {
            log::warning(
                class(&error),
                format_args!("connection from {peer}: {error}"),
            );
        }
    }
}

async fn acquire(semaphore: &Arc<Semaphore>) -> Permit {
    // Fails only for a closed semaphore, and these are never closed.
    Arc::clone(semaphore).acquire_owned().await.ok()
}

/// Whether accepting failed because a client went away while it waited.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

fn class(error: &ConnectionError) -> Class {
    match error {
        ConnectionError::Dial(_) => Class::Dial,
        ConnectionError::Handshake(_)
        | ConnectionError::Refused
        | ConnectionError::HandshakeTimeout(_) => Class::Handshake,
        ConnectionError::Relay(_) | ConnectionError::Abandoned(_) => Class::Broken,
    }
}
