//! The sockets and addresses that exist before pipes are bound, and the choice of a socket to listen on.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Weak};

use spiped_tokio::{Address, BoundListener, Endpoint, Listener};

use crate::config::settings::PipeConfig;
use crate::config::setup::{self, SetupError};
use crate::keys::Keys;
use crate::log::{self, Class, Level};
use crate::os::socket_activation::InheritedSocket;
use crate::pipe::resolved::ResolverCache;

/// A socket that listens.
#[derive(Debug)]
pub enum Listening {
    /// A new socket, from which nothing accepts yet.
    New(BoundListener),
    /// A socket from which a running pipe accepts; it may be closed by that pipe before it is taken
    /// over.
    Running(Endpoint, Weak<Listener>),
}

/// Sockets that were passed to the process.
#[derive(Debug, Default)]
pub enum InheritedSockets {
    /// No socket was passed.
    #[default]
    None,
    /// One socket, for the only pipe, which has to listen on it.
    One(InheritedSocket),
    /// Sockets for the pipes that listen on their endpoints. Other pipes bind sockets of their own.
    Any(Vec<InheritedSocket>),
}

/// Sockets and addresses that exist already, to be used again.
#[derive(Debug, Default)]
pub struct ExistingState {
    /// Sockets that were passed to the process.
    pub inherited: InheritedSockets,
    /// The sockets of the pipes that run.
    pub running: Vec<RunningListener>,
    /// The addresses that names of the running pipes lead to.
    pub resolver_cache: ResolverCache,
}

/// The socket of a pipe that runs.
#[derive(Debug)]
pub struct RunningListener {
    /// The source of the pipe.
    pub source: Address,
    /// The endpoint that it listens on.
    pub endpoint: Endpoint,
    /// The socket. Weak, so that it is closed when its pipe ends.
    pub listener: Weak<Listener>,
}

/// Whether a socket that listens on `here` is good for a pipe that is to listen on `wanted`, in which port 0
/// is any port.
pub(crate) fn may_stay(wanted: &Endpoint, here: &Endpoint) -> bool {
    match (wanted, here) {
        (Endpoint::Tcp(wanted), Endpoint::Tcp(here)) if wanted.port() == 0 => {
            wanted.ip() == here.ip()
        }
        _ => wanted == here,
    }
}

/// Returns the first endpoint that the source of a pipe leads to, and warns if there are several.
fn first<'a>(config: &PipeConfig, endpoints: &'a [Endpoint]) -> Result<&'a Endpoint, SetupError> {
    let endpoint = endpoints.first().ok_or_else(|| {
        let error = io::ErrorKind::AddrNotAvailable.into();
        SetupError::resolve("source", &config.source, error)
    })?;
    if endpoints.len() > 1 {
        log::event(
            Level::Warning,
            Class::Daemon,
            format_args!(
                "{} has several addresses: listening on {endpoint} only",
                config.source
            ),
            |fields| fields.text("pipe", &config.name),
        );
    }
    Ok(endpoint)
}

impl Listening {
    /// Returns the endpoint that the socket listens on.
    pub(crate) fn endpoint(&self) -> io::Result<Endpoint> {
        match self {
            Self::New(bound) => bound.local_endpoint(),
            Self::Running(endpoint, _) => Ok(endpoint.clone()),
        }
    }

    /// Returns the listener, registered with the current runtime if it is new.
    pub(crate) fn start(self) -> io::Result<Arc<Listener>> {
        match self {
            Self::New(bound) => bound.start().map(Arc::new),
            Self::Running(endpoint, listener) => match listener.upgrade() {
                Some(listener) => Ok(listener),
                // The running pipe has closed it meanwhile, as its name leads elsewhere.
                None => Listener::bind(&endpoint).map(Arc::new),
            },
        }
    }
}

impl ExistingState {
    /// Looks up the names that `unknown` returns for these pipes. Blocks.
    ///
    /// # Errors
    ///
    /// A name has no address.
    pub(crate) fn look_up(&mut self, pipes: &[(PipeConfig, Keys)]) -> Result<(), SetupError> {
        for (role, address) in self.unknown(pipes) {
            let found = setup::resolve(role, &address)?;
            self.resolver_cache.add(&address, found);
        }
        Ok(())
    }

    /// Returns the names that have to be looked up before these pipes can be bound, each with its role: target,
    /// bind or source.
    pub(crate) fn unknown(&self, pipes: &[(PipeConfig, Keys)]) -> Vec<(&'static str, Address)> {
        let mut unknown: Vec<(&'static str, Address)> = Vec::new();
        let mut ask = |role, address: &Address| {
            let is_asked = unknown.iter().any(|(_, asked)| asked == address);
            if address.is_name() && !is_asked && !self.resolver_cache.knows(address) {
                unknown.push((role, address.clone()));
            }
        };
        for (config, _) in pipes {
            for target in &config.targets {
                ask("target", target);
            }
            if let Some(bind) = &config.bind {
                ask("bind", bind.address());
            }
            if !self
                .running
                .iter()
                .any(|there| there.source == config.source)
            {
                ask("source", &config.source);
            }
        }
        unknown
    }

    /// Returns a listening socket for a pipe, by the first of these rules that gives one: the socket of a
    /// running pipe with the same source, wherever its name leads now; a socket at an endpoint of the source
    /// that a running pipe gives up; a socket at the first endpoint of the source, running, passed or new.
    /// `sources` are those of all pipes that are to run.
    pub(super) fn listen(
        &self,
        config: &PipeConfig,
        sources: &HashSet<Address>,
    ) -> Result<Listening, SetupError> {
        let take = |there: &RunningListener| {
            let listener = Weak::clone(&there.listener);
            Listening::Running(there.endpoint.clone(), listener)
        };
        let source = &config.source;
        if let Some(there) = self.running.iter().find(|there| there.source == *source) {
            return Ok(take(there));
        }
        let endpoints = self.resolver_cache.resolve("source", source)?;
        let is_left = |there: &&RunningListener| {
            !sources.contains(&there.source) && endpoints.contains(&there.endpoint)
        };
        let endpoint = match self.running.iter().find(is_left) {
            Some(there) => &there.endpoint,
            None => first(config, &endpoints)?,
        };
        // If the pipe that listens there stays, `bind_all` refuses both pipes, with their names.
        if let Some(there) = self
            .running
            .iter()
            .find(|there| there.endpoint == *endpoint)
        {
            return Ok(take(there));
        }
        let bound = match &self.inherited {
            InheritedSockets::None => BoundListener::bind(endpoint),
            InheritedSockets::One(passed) => adopt(passed, endpoint),
            InheritedSockets::Any(all) => {
                let fits = all.iter().find_map(|passed| adopt(passed, endpoint).ok());
                fits.map_or_else(|| BoundListener::bind(endpoint), Ok)
            }
        };
        bound
            .map(Listening::New)
            .map_err(|error| SetupError::listen(endpoint, error))
    }

    /// Returns the sockets that were passed and that are not among those of the pipes, `taken`.
    pub(crate) fn unwanted<'a>(
        &self,
        taken: impl Iterator<Item = &'a Listening>,
    ) -> Vec<&InheritedSocket> {
        let InheritedSockets::Any(all) = &self.inherited else {
            return Vec::new();
        };
        let endpoints = taken.filter_map(|socket| socket.endpoint().ok());
        let endpoints: Vec<_> = endpoints.collect();
        let is_wanted = |passed| endpoints.iter().any(|at| adopt(passed, at).is_ok());
        all.iter().filter(|passed| !is_wanted(passed)).collect()
    }
}

/// Returns a listener on a socket that was passed, which has to listen on `endpoint`.
fn adopt(passed: &InheritedSocket, endpoint: &Endpoint) -> io::Result<BoundListener> {
    BoundListener::adopt(passed.fd.try_clone()?, endpoint)
}
