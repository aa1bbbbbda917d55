//! A pipe that runs, and a bound pipe that is about to run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use spiped_tokio::{Endpoint, Listener};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::settings::PipeConfig;
use crate::keys::Keys;
use crate::pipe::accept::Acceptor;

/// A pipe that accepts connections.
#[derive(Debug)]
pub(super) struct RunningPipe {
    pub(super) config: PipeConfig,
    pub(super) keys: Keys,
    pub(super) acceptor: Arc<Acceptor>,
    pub(super) listener: watch::Sender<Arc<Listener>>,
    /// The event loop that the listener is registered with.
    pub(super) events: Handle,
    pub(super) accepting: JoinHandle<()>,
    /// The tasks that look names up again, one for each name.
    pub(super) reresolving: Vec<JoinHandle<()>>,
}

/// A bound pipe whose listener is registered with an event loop.
pub(super) struct Starting {
    pub(super) config: PipeConfig,
    pub(super) keys: Keys,
    pub(super) targets: Vec<Vec<Endpoint>>,
    pub(super) bind: Vec<SocketAddr>,
    pub(super) is_loop: bool,
    pub(super) listener: Arc<Listener>,
    pub(super) events: Handle,
}

impl RunningPipe {
    /// Whether the pipe is already what `new` would be.
    pub(super) fn is_same(&self, new: &Starting) -> bool {
        self.config == new.config
            && self.keys.is_same(&new.keys)
            && Arc::ptr_eq(&self.listener.borrow(), &new.listener)
    }

    /// Notes whether a target leads back to the source of the pipe, for connections that are served from now
    /// on. That depends on other pipes too, so a reload may change it for a pipe that stays.
    pub(super) fn set_is_loop(&self, is_loop: bool) {
        let handler = &self.acceptor.handler;
        handler.is_loop.store(is_loop, Ordering::Relaxed);
    }

    /// Stops accepting; connections go on.
    pub(super) async fn end(self) {
        for task in self.reresolving.iter().chain([&self.accepting]) {
            task.abort();
        }
        // The socket is closed with the task, not before.
        let _ = self.accepting.await;
    }
}
