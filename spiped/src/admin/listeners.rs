//! The sockets at which the daemon answers requests. They are bound before the sandbox.

use std::io;
use std::path::Path;
use std::sync::Arc;

use nix::sys::stat::{Mode, umask};
use spiped_tokio::{BoundListener, Endpoint};
use tokio::sync::mpsc;

use super::server::{self, Access, Reload};
use crate::config::setup::{self, SetupError};
use crate::pipe::registry::Registry;
use crate::pipe::task;

/// Sockets that listen, at which nothing is answered yet.
#[derive(Debug, Default)]
pub struct AdminListeners {
    metrics: Option<BoundListener>,
    control: Option<BoundListener>,
}

impl AdminListeners {
    /// Looks the address for metrics up. May block.
    ///
    /// # Errors
    ///
    /// The address is written wrongly or cannot be looked up.
    pub fn resolve(metrics: Option<&str>) -> Result<Option<Endpoint>, SetupError> {
        let Some(text) = metrics else {
            return Ok(None);
        };
        let address = setup::parse_address("metrics", text)?;
        Ok(setup::resolve("metrics", &address)?.into_iter().next())
    }

    /// Listens for what is asked for. Call it while the process has one thread: files of others would
    /// get the mode of the control socket.
    ///
    /// # Errors
    ///
    /// An address cannot be listened on.
    pub fn bind(metrics: Option<Endpoint>, control: Option<&Path>) -> Result<Self, SetupError> {
        let bind = |option, endpoint: Endpoint| {
            BoundListener::bind(&endpoint).map_err(|error| SetupError::Listen {
                option: Some(option),
                endpoint,
                error,
            })
        };
        let metrics = metrics.map(|endpoint| bind("--metrics", endpoint));
        let metrics = metrics.transpose()?;
        // The mode of the file decides who may connect.
        let others = umask(Mode::S_IXUSR | Mode::S_IRWXG | Mode::S_IRWXO);
        let control = control.map(|path| bind("--control", Endpoint::Unix(path.to_owned())));
        umask(others);
        Ok(Self {
            metrics,
            control: control.transpose()?,
        })
    }

    /// Answers from now on, in the current runtime.
    ///
    /// # Errors
    ///
    /// The runtime cannot watch a socket.
    pub fn open(self, registry: &Arc<Registry>, reloads: mpsc::Sender<Reload>) -> io::Result<()> {
        let listeners = [
            (self.metrics, Access::Metrics),
            (self.control, Access::Control(reloads)),
        ];
        for (listener, access) in listeners {
            if let Some(listener) = listener {
                let (listener, registry) = (Arc::new(listener.start()?), Arc::clone(registry));
                tokio::spawn(task::forever(move || {
                    let (listener, registry) = (Arc::clone(&listener), Arc::clone(&registry));
                    server::serve(listener, access.clone(), registry)
                }));
            }
        }
        Ok(())
    }
}
