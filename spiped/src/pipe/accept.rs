//! Accepts the connections of a pipe, and has each served in a task of its own until it ends: then its
//! one log line is written and it is counted.

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use spiped_tokio::{DetachedSocket, Listener, Peer, Socket};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::values::Mode;
use crate::log::{self, Class, Level};
use crate::os::fd_limit::is_shortage;
use crate::os::os_error::os_error;
use crate::pipe::admission::Permit;
use crate::pipe::close_reason::{CloseReason, ConnectionError};
use crate::pipe::connection::{ConnectionHandler, unless_gone};
use crate::pipe::connection_info::ConnectionInfo;
use crate::pipe::hops;
use crate::pipe::state::PipeState;
use crate::pipe::unproved::{UnprovedConnections, UnprovedGuard};
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

/// The state in which an accepted connection starts.
enum Start {
    /// A plaintext connection, which has its permit and can be served.
    Plaintext(Option<Permit>),
    /// An encrypted connection, whose peer has to prove the key.
    Encrypted(UnprovedGuard),
    /// A connection of either kind from a balancer, which has to send a PROXY header first.
    BehindBalancer(UnprovedGuard),
}

impl Acceptor {
    /// Accepts connections for ever, from the listener that `listener` holds at the time. Each is served
    /// by a worker, which goes on when this future is dropped.
    pub async fn accept(self: Arc<Self>, mut listener: watch::Receiver<Arc<Listener>>) {
        loop {
            let current = Arc::clone(&listener.borrow_and_update());
            let _port = hops::listen(&current);
            tokio::select! {
                () = self.accept_from(&current) => {}
                Ok(()) = listener.changed() => {}
            }
        }
    }

    /// Accepts the connections of one listener for ever.
    async fn accept_from(self: &Arc<Self>, listener: &Listener) {
        loop {
            let permit = self.may_accept().await;
            match listener.accept_detached().await {
                Ok((source, peer)) => self.hand_over(source, peer, permit),
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    self.warn_of_accepting(&error);
                    match is_shortage(&error) {
                        true => self.unproved().evict_silent(ACCEPT_PAUSE).await,
                        false => tokio::time::sleep(ACCEPT_PAUSE).await,
                    }
                }
            }
        }
    }

    /// Waits until a connection may be accepted, and returns the permit of a plaintext one. There is
    /// always room for an encrypted one, unless as many as may wait have proved the key and wait for
    /// their permit.
    async fn may_accept(&self) -> Option<Permit> {
        match self.mode {
            Mode::Encrypt if !self.is_behind_balancer() => self.state.admission.permit().await,
            Mode::Encrypt | Mode::Decrypt => {
                self.state.admission.room_to_wait().await;
                None
            }
        }
    }

    /// Has a worker serve the connection `source` from `peer`.
    fn hand_over(self: &Arc<Self>, source: DetachedSocket, peer: Peer, permit: Option<Permit>) {
        let start = match self.mode {
            _ if self.is_behind_balancer() => {
                Start::BehindBalancer(self.unproved().add_behind_balancer())
            }
            Mode::Encrypt => Start::Plaintext(permit),
            Mode::Decrypt => Start::Encrypted(self.unproved().add(peer)),
        };
        let acceptor = Arc::clone(self);
        let seat = self.workers.seat();
        seat.events().clone().spawn(async move {
            match source.attach() {
                Ok(source) => acceptor.serve(source, peer, start).await,
                Err(error) => acceptor.warn_of_accepting(&error),
            }
            drop(seat);
        });
    }

    fn warn_of_accepting(&self, error: &io::Error) {
        log::event(
            Level::Warning,
            Class::Accept,
            format_args!("cannot accept a connection: {}", os_error(error)),
            |fields| fields.text("pipe", &self.name),
        );
    }

    fn is_behind_balancer(&self) -> bool {
        self.handler.config.accept_proxy.is_some()
    }

    fn unproved(&self) -> &Arc<UnprovedConnections> {
        &self.state.admission.unproved
    }

    /// Serves a connection to its end, logs it and counts it.
    async fn serve(&self, source: Socket, peer: Peer, start: Start) {
        let stats = &self.state.stats;
        let connection = stats.open_connection(ConnectionInfo::new(self.mode, peer));
        let info = connection.info();
        let served = self.run(&source, start, info).await;
        let reason = match &served {
            Ok(()) => CloseReason::Done,
            Err(error) => error.close_reason(self.mode),
        };
        let level = match reason.is_failure() {
            true => Level::Warning,
            false => Level::Info,
        };
        let write = |end: fmt::Arguments<'_>| {
            let who = info.peer_and_client();
            let text = format_args!("connection from {who}{end}");
            log::event(level, reason.class(), text, |fields| {
                fields.text("pipe", &self.name);
                info.log_fields(reason, fields);
            });
        };
        match &served {
            Ok(()) => write(format_args!(" has ended: {info}")),
            Err(error) => write(format_args!(": {error}")),
        }
        connection.end(reason);
    }

    /// Takes the header of a connection from a balancer, then encrypts or decrypts to the end.
    async fn run(
        &self,
        source: &Socket,
        start: Start,
        info: &ConnectionInfo,
    ) -> Result<(), ConnectionError> {
        let handler = &self.handler;
        let admission = &self.state.admission;
        // Header and proof have one deadline, as the same peer sends both.
        let deadline = Instant::now() + handler.config.timeout.get();
        match start {
            Start::Plaintext(_permit) => handler.encrypt(source, info).await,
            Start::Encrypted(guard) => {
                handler
                    .decrypt(source, guard, deadline, admission, info)
                    .await
            }
            Start::BehindBalancer(guard) => {
                Box::pin(handler.take_header(source, guard, deadline, info)).await?;
                match self.mode {
                    Mode::Encrypt => {
                        let permit = pin!(async { Ok(admission.permit().await) });
                        let _permit = unless_gone(source, permit).await?;
                        handler.encrypt(source, info).await
                    }
                    Mode::Decrypt => {
                        let guard = self.unproved().add(info.peer());
                        handler
                            .decrypt(source, guard, deadline, admission, info)
                            .await
                    }
                }
            }
        }
    }
}

/// Whether accepting failed only because a client went away while it waited to be accepted.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
