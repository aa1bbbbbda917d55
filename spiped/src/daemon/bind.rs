//! Makes pipes ready for their first connection: reads their keys, looks their names up, and
//! listens. All of it may block.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use spiped_tokio::{Address, BoundListener, Endpoint, Listener};

use crate::config::settings::PipeConfig;
use crate::config::setup::{self, SetupError};
use crate::config::sources::leads_to;
use crate::keys::Keys;
use crate::log::{self, Class, Level};
use crate::os::socket_activation::InheritedSocket;
use crate::pipe::resolved::ResolverCache;

/// A pipe that can run: its keys are read, its names are looked up, and its socket listens.
#[derive(Debug)]
pub struct BoundPipe {
    pub(crate) config: PipeConfig,
    pub(crate) keys: Keys,
    /// The endpoints of each target, in the order of `config.targets`.
    pub(crate) targets: Vec<Vec<Endpoint>>,
    /// The addresses that connections to a target start from; none leaves that to the system.
    pub(crate) bind: Vec<SocketAddr>,
    pub(crate) listening: Listening,
    /// Whether a target leads back to where the pipe listens.
    pub(crate) is_loop: bool,
}

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

/// Reads the keys of pipes.
///
/// # Errors
///
/// A key cannot be read.
pub fn read_keys(pipes: Vec<PipeConfig>) -> Result<Vec<(PipeConfig, Keys)>, SetupError> {
    let read = |config: PipeConfig| {
        let keys = setup::read_keys(&config.key, config.mode)?;
        Ok((config, keys))
    };
    pipes.into_iter().map(read).collect()
}

/// Binds all pipes: has each of them listen. Names that `existing` does not know are looked up. Blocks.
///
/// # Errors
///
/// A name has no address, a source cannot be listened on, or two pipes would listen at one
/// endpoint.
pub fn bind_all(
    pipes: &[(PipeConfig, Keys)],
    existing: &ExistingState,
) -> Result<Vec<BoundPipe>, SetupError> {
    let sources = pipes.iter().map(|(config, _)| config.source.clone());
    let sources: HashSet<_> = sources.collect();
    let mut taken = HashMap::new();
    let bind = |(config, keys): &(PipeConfig, Keys)| {
        let bound = BoundPipe::new(config, keys, existing, &sources)?;
        let name = &config.name;
        if let Ok(endpoint) = bound.listening.endpoint()
            && let Some(other) = taken.insert(endpoint.clone(), Arc::clone(name))
        {
            return Err(SetupError::SharedSource {
                endpoint,
                pipes: [other, Arc::clone(name)],
            });
        }
        Ok(bound)
    };
    let mut bound = pipes.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
    find_loops(&mut bound);
    Ok(bound)
}

/// Sets `is_loop` of pipes whose target leads back to their own source, at once or by way of other pipes, and
/// warns of them.
fn find_loops(bound: &mut [BoundPipe]) {
    let sources: Vec<_> = bound
        .iter()
        .map(|pipe| pipe.listening.endpoint().ok())
        .collect();
    let leads = |from: &BoundPipe, to: usize| {
        let mut targets = from.targets.iter().flatten();
        let source = sources[to].as_ref();
        source.is_some_and(|source| targets.any(|target| leads_to(target, source)))
    };
    let next: Vec<Vec<usize>> = bound
        .iter()
        .map(|from| (0..sources.len()).filter(|to| leads(from, *to)).collect())
        .collect();
    for (start, pipe) in bound.iter_mut().enumerate() {
        let mut seen = HashSet::new();
        let mut left = next[start].clone();
        while let Some(here) = left.pop() {
            if seen.insert(here) {
                left.extend(&next[here]);
            }
        }
        pipe.is_loop = seen.contains(&start);
        if pipe.is_loop {
            let config = &pipe.config;
            log::event(
                Level::Warning,
                Class::Daemon,
                format_args!(
                    "the target {} leads back to {}, the source of the same pipe: its connections will fail",
                    config.target(),
                    config.source
                ),
                |fields| fields.text("pipe", &config.name),
            );
        }
    }
}

impl BoundPipe {
    /// Warns if a reload will not be able to read the keys.
    pub(crate) fn warn_of_keys(&self) {
        let Some(error) = self.keys.reread_error(&self.config.key) else {
            return;
        };
        let what = match self.keys.has_clients() {
            true => {
                "SIGHUP cannot read the keys again, and whose key is removed or replaced may stay in \
                 until a restart"
            }
            false => "SIGHUP cannot read the key again",
        };
        log::event(
            Level::Warning,
            Class::Daemon,
            format_args!("{error}: {what}"),
            |fields| fields.text("pipe", &self.config.name),
        );
    }

    /// Binds one pipe. `sources` are those of all pipes that are to run.
    fn new(
        config: &PipeConfig,
        keys: &Keys,
        existing: &ExistingState,
        sources: &HashSet<Address>,
    ) -> Result<Self, SetupError> {
        let targets = config.targets.iter();
        let targets = targets.map(|target| existing.resolver_cache.resolve("target", target));
        let targets = targets.collect::<Result<_, _>>()?;
        let bind = existing.resolver_cache.resolve_bind(config.bind.as_ref())?;
        Ok(Self {
            listening: existing.listen(config, sources)?,
            is_loop: false,
            targets,
            bind,
            config: config.clone(),
            keys: keys.clone(),
        })
    }

    /// Moves the keys of all pipes into locked memory. Returns an error if that failed for one of
    /// them.
    pub fn lock_keys(pipes: &mut [Self]) -> io::Result<()> {
        let mut outcome = Ok(());
        for pipe in pipes {
            if let Err(error) = pipe.keys.lock() {
                outcome = Err(error);
            }
        }
        outcome
    }
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

    /// Returns the names that have to be looked up before these pipes can be bound, and what each is
    /// the address of.
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

    /// Returns a listening socket for a pipe. In this order: the one of a running pipe with the same source,
    /// wherever its name leads now; one at an endpoint of the source that a running pipe gives up; else one
    /// at the first endpoint of the source, running, passed or new.
    fn listen(
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
        // Also if the pipe that listens there stays: `bind_all` then refuses both by name.
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

    /// Returns the sockets that were passed and that none of these pipes listens on.
    pub(crate) fn unwanted(&self, pipes: &[BoundPipe]) -> Vec<&InheritedSocket> {
        let InheritedSockets::Any(all) = &self.inherited else {
            return Vec::new();
        };
        let endpoints = pipes.iter().map(|pipe| pipe.listening.endpoint());
        let endpoints: Vec<_> = endpoints.filter_map(Result::ok).collect();
        let is_wanted = |passed| endpoints.iter().any(|at| adopt(passed, at).is_ok());
        all.iter().filter(|passed| !is_wanted(passed)).collect()
    }
}

fn adopt(passed: &InheritedSocket, endpoint: &Endpoint) -> io::Result<BoundListener> {
    BoundListener::adopt(passed.fd.try_clone()?, endpoint)
}
