//! A pipe: accepts connections, admits as many as its limits allow, and serves each in a task.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use spiped_tokio::{Address, Listener, Peer, Socket, Traffic};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::admission::Limits;
use crate::cli::Mode;
use crate::connection::{ConnectionError, Route};
use crate::footprint::{self, Footprint};
use crate::log::{self, Class};
use crate::reason::reason;
use crate::strangers::{Stay, Strangers};

/// How long accepting pauses when the system has no descriptors or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long memory is kept for others after a crowd has left.
const FOOTPRINT_PAUSE: Duration = Duration::from_millis(500);

/// A running pipe.
#[derive(Debug)]
pub struct Pipe {
    mode: Mode,
    route: Route,
    /// One for each connection that may be served; `None` for no limit.
    slots: Option<Arc<Semaphore>>,
    strangers: Arc<Strangers>,
    /// One for each connection that may wait for a slot after it has proved the key.
    waiting: Arc<Semaphore>,
    footprint: Footprint,
}

/// Held by a connection as long as it counts.
type Permit = Option<OwnedSemaphorePermit>;

/// What a connection starts with.
enum Admission {
    /// A plaintext one is served at once.
    Served(Permit),
    /// An encrypted one has to prove the key first.
    Stranger(Stay),
}

impl Pipe {
    /// A pipe that serves no more at a time than its limits allow.
    #[must_use]
    pub fn new(mode: Mode, route: Route, limits: Limits) -> Self {
        let slots = limits.served.map(|max| {
            usize::try_from(max.get()).map_or(Semaphore::MAX_PERMITS, |max| {
                max.min(Semaphore::MAX_PERMITS)
            })
        });
        Self {
            mode,
            route,
            slots: slots.map(|slots| Arc::new(Semaphore::new(slots))),
            strangers: Arc::new(Strangers::new(limits.unproved)),
            waiting: Arc::new(Semaphore::new(limits.waiting.get())),
            footprint: Footprint::default(),
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
            let slot = self.may_accept().await;
            match listener.accept().await {
                Ok((source, peer)) => {
                    let admission = match self.mode {
                        Mode::Encrypt => Admission::Served(slot),
                        Mode::Decrypt => Admission::Stranger(self.strangers.enter(peer)),
                    };
                    let pipe = Arc::clone(self);
                    let running = running.clone();
                    self.footprint.enter();
                    tokio::spawn(async move {
                        pipe.serve(source, peer, admission).await;
                        drop(running);
                        if pipe.footprint.leave() {
                            tokio::spawn(return_memory());
                        }
                    });
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    log::warning(
                        Class::Accept,
                        format_args!("cannot accept a connection: {}", reason(&error)),
                    );
                    match is_shortage(&error) {
                        true => self.strangers.relieve(ACCEPT_PAUSE).await,
                        false => tokio::time::sleep(ACCEPT_PAUSE).await,
                    }
                }
            }
        }
    }

    /// Waits until a connection may be accepted, and takes the slot of a plaintext one. For encrypted
    /// ones there is always room, unless so many that have proved the key wait for a slot that
    /// another one would have to do so too.
    async fn may_accept(&self) -> Permit {
        match self.mode {
            Mode::Encrypt => self.slot().await,
            Mode::Decrypt => {
                drop(acquire(&self.waiting).await);
                None
            }
        }
    }

    async fn slot(&self) -> Permit {
        let slots = self.slots.as_ref()?;
        if let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
            return Some(slot);
        }
        log::warning(
            Class::Limit,
            format_args!("connection limit reached: others wait until one ends"),
        );
        let _waiting = acquire(&self.waiting).await;
        acquire(slots).await
    }

    async fn serve(&self, source: Socket, peer: Peer, admission: Admission) {
        let mut traffic = Traffic::default();
        let served = match admission {
            Admission::Served(_slot) => self.route.encrypt(&source, &mut traffic).await,
            Admission::Stranger(stay) => {
                let admit = self.slot();
                self.route.decrypt(&source, stay, admit, &mut traffic).await
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

async fn return_memory() {
    tokio::time::sleep(FOOTPRINT_PAUSE).await;
    // Not where data is moved.
    tokio::task::spawn_blocking(footprint::give_back);
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

/// Whether accepting failed for want of something that another connection has.
fn is_shortage(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(
        errno,
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)
    )
}

fn class(error: &ConnectionError) -> Class {
    match error {
        ConnectionError::Dial(_) => Class::Dial,
        ConnectionError::Evicted(_) => Class::Unproved,
        ConnectionError::Left(_) => Class::Limit,
        ConnectionError::Handshake(_)
        | ConnectionError::Refused
        | ConnectionError::HandshakeTimeout(_) => Class::Handshake,
        ConnectionError::Relay(_) | ConnectionError::Abandoned(_) | ConnectionError::Idle(_) => {
            Class::Broken
        }
    }
}
