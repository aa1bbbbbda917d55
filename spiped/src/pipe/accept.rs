//! Accepts the connections of a pipe, and has each served in a task of its own until it ends: then its
//! one log line is written and it is counted.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use spiped_tokio::{Listener, Peer, Socket};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::values::Mode;
use crate::log::{self, Class, Fields, Level};
use crate::os::fd_limit::is_shortage;
use crate::os::os_error::os_error;
use crate::pipe::admission::Permit;
use crate::pipe::close_reason::{CloseReason, ConnectionError};
use crate::pipe::connection::{ConnectionHandler, unless_gone};
use crate::pipe::connection_info::ConnectionInfo;
use crate::pipe::state::PipeState;
use crate::pipe::unproved::UnprovedGuard;
use crate::pipe::workers::Workers;

/// How long accepting pauses when the system has no descriptors or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The part of a running pipe that its connections use. It never changes: a pipe with another
/// configuration gets another acceptor, with the same state.
#[derive(Debug)]
pub struct Acceptor {
    /// The name of the pipe.
    pub name: Arc<str>,
    /// The end of the pipe that this process is.
    pub mode: Mode,
    /// Serves connections.
    pub handler: ConnectionHandler,
    /// The state that outlasts this acceptor.
    pub state: Arc<PipeState>,
    /// The threads on which connections are served.
    pub workers: Arc<Workers>,
}

/// What a connection starts with.
enum Entry {
    /// It is for whom it is from.
    Direct(Accepted),
    /// A balancer has to say first for whom it is.
    BehindBalancer(UnprovedGuard),
}

/// What a connection has to do before it is served.
enum Accepted {
    /// Nothing: it is a plaintext one.
    Plaintext(Option<Permit>),
    /// It is an encrypted one, and has to prove the key.
    Unproved(UnprovedGuard),
}

impl Acceptor {
    /// Accepts connections for ever, from the listener that `listener` holds at the time. Each is served
    /// by a worker, which goes on when this future is dropped.
    pub async fn accept(self: Arc<Self>, mut listener: watch::Receiver<Arc<Listener>>) {
        loop {
            let permit = self.may_accept().await;
            let current = Arc::clone(&listener.borrow_and_update());
            let accepted = tokio::select! {
                accepted = current.accept_detached() => accepted,
                Ok(()) = listener.changed() => continue,
            };
            match accepted {
                Ok((source, peer)) => {
                    let unproved = &self.state.admission.unproved;
                    let entry = match self.mode {
                        _ if self.is_behind_balancer() => {
                            Entry::BehindBalancer(unproved.add_behind_balancer())
                        }
                        Mode::Encrypt => Entry::Direct(Accepted::Plaintext(permit)),
                        Mode::Decrypt => Entry::Direct(Accepted::Unproved(unproved.add(peer))),
                    };
                    let acceptor = Arc::clone(&self);
                    let seat = self.workers.seat();
                    seat.events().clone().spawn(async move {
                        match source.attach() {
                            Ok(source) => acceptor.serve(source, peer, entry).await,
                            Err(error) => acceptor.warn_of_accepting(&error),
                        }
                        drop(seat);
                    });
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    self.warn_of_accepting(&error);
                    match is_shortage(&error) {
                        true => {
                            self.state
                                .admission
                                .unproved
                                .evict_silent(ACCEPT_PAUSE)
                                .await
                        }
                        false => tokio::time::sleep(ACCEPT_PAUSE).await,
                    }
                }
            }
        }
    }

    fn warn_of_accepting(&self, error: &io::Error) {
        log::event(
            Level::Warning,
            Class::Accept,
            format_args!("cannot accept a connection: {}", os_error(error)),
            |fields| fields.text("pipe", &self.name),
        );
    }

    /// Waits until a connection may be accepted, and takes the slot of a plaintext one. For encrypted
    /// ones there is always room, unless so many that have proved the key wait for a slot that
    /// another one would have to do so too.
    async fn may_accept(&self) -> Option<Permit> {
        match self.mode {
            Mode::Encrypt if !self.is_behind_balancer() => self.state.admission.permit().await,
            Mode::Encrypt | Mode::Decrypt => {
                self.state.admission.room_to_wait().await;
                None
            }
        }
    }

    fn is_behind_balancer(&self) -> bool {
        self.handler.config.accept_proxy.is_some()
    }

    async fn run(
        &self,
        source: &Socket,
        entry: Entry,
        info: &ConnectionInfo,
    ) -> Result<(), ConnectionError> {
        // One for header and proof, as the same peer sends both.
        let deadline = Instant::now() + self.handler.config.timeout.get();
        let admission = match entry {
            Entry::BehindBalancer(guard) => {
                Box::pin(self.handler.take_header(source, guard, deadline, info)).await?;
                match self.mode {
                    Mode::Encrypt => {
                        let permit = async { Ok(self.state.admission.permit().await) };
                        Accepted::Plaintext(unless_gone(source, permit).await?)
                    }
                    Mode::Decrypt => {
                        Accepted::Unproved(self.state.admission.unproved.add(info.peer()))
                    }
                }
            }
            Entry::Direct(admission) => admission,
        };
        match admission {
            Accepted::Plaintext(_permit) => self.handler.encrypt(source, info).await,
            Accepted::Unproved(guard) => {
                let decrypted =
                    self.handler
                        .decrypt(source, guard, deadline, &self.state.admission, info);
                decrypted.await
            }
        }
    }

    async fn serve(&self, source: Socket, peer: Peer, entry: Entry) {
        let guard = self
            .state
            .stats
            .open_connection(ConnectionInfo::new(self.mode, peer));
        let info = guard.info();
        let served = self.run(&source, entry, info).await;
        let reason = match &served {
            Ok(()) => CloseReason::Done,
            Err(error) => error.close_reason(self.mode),
        };
        let fields = |fields: &mut Fields| {
            fields.text("pipe", &self.name);
            info.log_fields(reason, fields);
        };
        let level = match reason.is_failure() {
            true => Level::Warning,
            false => Level::Info,
        };
        match &served {
            Ok(()) => log::event(
                level,
                reason.class(),
                format_args!(
                    "connection from {} has ended: {info}",
                    info.peer_and_client()
                ),
                fields,
            ),
            Err(error) => log::event(
                level,
                reason.class(),
                format_args!("connection from {}: {error}", info.peer_and_client()),
                fields,
            ),
        }
        guard.end(reason);
    }
}

/// Whether accepting failed because a client went away while it waited.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
