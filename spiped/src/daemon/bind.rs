//! What a pipe needs before its first connection: its keys, its addresses looked up, and a socket
//! that listens. All of it may block.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use spiped_tokio::{Address, BoundListener, Endpoint, Listener};

use crate::config::settings::PipeConfig;
use crate::config::setup::{self, SetupError};
use crate::keys::keyfile::KeySource;
use crate::keys::{Keys, KeysSource};
use crate::log::{self, Class, Level};
use crate::os::os_error::os_error;
use crate::os::socket_activation::InheritedSocket;
use crate::pipe::resolved::ResolverCache;

/// Why a pipe cannot run.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A key or an address is no good.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The source address cannot be listened on.
    #[error("cannot listen on {endpoint}: {}", os_error(.error))]
    Bind {
        /// The address.
        endpoint: Endpoint,
        /// Why not.
        error: io::Error,
    },
    /// Two pipes would take connections from each other.
    #[error("pipes {} and {} would both listen on {endpoint}", .pipes[0], .pipes[1])]
    Shared {
        /// The address.
        endpoint: Endpoint,
        /// Their names.
        pipes: [Arc<str>; 2],
    },
}

/// Keys of clients that no pipe accepts any more, as they are now.
#[derive(Debug)]
pub struct RevokedKeys {
    /// Where.
    pub(crate) source: KeysSource,
    pub(crate) keys: Keys,
}

impl RevokedKeys {
    /// Reads those of some sources that these pipes do not have. What is gone holds no key; of what
    /// cannot be read nobody knows.
    pub fn read_all(sources: Vec<KeysSource>, pipes: &[PipeConfig]) -> Vec<Self> {
        let has = |source: &KeysSource| pipes.iter().any(|pipe| pipe.key == *source);
        let left = sources.into_iter().filter(|source| !has(source));
        let read = |source: KeysSource| match Keys::read_left(&source) {
            Ok(keys) => Some(Self { source, keys }),
            Err(error) => {
                let what = format_args!("{error}: connections of its clients go on");
                log::warning(Class::Daemon, what);
                None
            }
        };
        left.filter_map(read).collect()
    }
}

/// A pipe whose keys are known.
#[derive(Clone, Debug)]
pub struct KeyedPipe {
    pub(crate) settings: PipeConfig,
    pub(crate) keys: Keys,
}

/// A pipe that can run.
#[derive(Debug)]
pub struct BoundPipe {
    pub(crate) keyed: KeyedPipe,
    /// Those of each target.
    pub(crate) targets: Vec<Vec<Endpoint>>,
    pub(crate) bind: Vec<SocketAddr>,
    pub(crate) listening: Listening,
}

/// A socket that listens.
#[derive(Debug)]
pub enum Listening {
    /// One that nobody accepts from yet.
    New(BoundListener),
    /// One that another pipe, or an earlier form of this one, accepts from; it is not kept open
    /// for this.
    Running(Endpoint, Weak<Listener>),
}

/// Sockets that were passed to the process.
#[derive(Debug, Default)]
pub enum InheritedSockets {
    /// None.
    #[default]
    None,
    /// The one for the only pipe, which listens nowhere else.
    One(InheritedSocket),
    /// Each for the pipe that is to listen there. Other pipes bind their own.
    Any(Vec<InheritedSocket>),
}

/// What is there already, to be taken rather than made again.
#[derive(Debug, Default)]
pub struct ExistingState {
    /// Sockets that were passed to the process.
    pub inherited: InheritedSockets,
    /// Those of the pipes that run.
    pub running: Vec<RunningListener>,
    /// Where their names lead.
    pub resolver_cache: ResolverCache,
}

/// A socket of a pipe that runs.
#[derive(Debug)]
pub struct RunningListener {
    /// Where the pipe is to listen.
    pub source: Address,
    /// Where it does.
    pub endpoint: Endpoint,
    /// The socket, which is not kept open for this.
    pub listener: Weak<Listener>,
}

impl KeyedPipe {
    /// Reads the keys of pipes; what came from standard input before is not there a second time.
    ///
    /// # Errors
    ///
    /// One cannot be read.
    pub fn read_all(
        pipes: Vec<PipeConfig>,
        from_stdin: Option<&Keys>,
    ) -> Result<Vec<Self>, BindError> {
        let read = |settings: PipeConfig| {
            let keys = match (&settings.key, from_stdin) {
                (KeysSource::One(KeySource::Stdin), Some(keys)) => keys.clone(),
                (source, _) => setup::read_keys(source, settings.mode)?,
            };
            Ok(Self { settings, keys })
        };
        pipes.into_iter().map(read).collect()
    }

    /// Prepares all pipes.
    ///
    /// # Errors
    ///
    /// A name has no address, a source cannot be listened on, or two pipes would listen at one place.
    pub fn bind_all(
        pipes: Vec<Self>,
        existing: &ExistingState,
    ) -> Result<Vec<BoundPipe>, BindError> {
        let sources = pipes.iter().map(|pipe| pipe.settings.source.clone());
        let sources: HashSet<_> = sources.collect();
        let mut taken = HashMap::new();
        let bind = |keyed: Self| {
            let name = Arc::clone(&keyed.settings.name);
            let bound = keyed.bind(existing, &sources)?;
            if let Ok(endpoint) = bound.listening.endpoint()
                && let Some(other) = taken.insert(endpoint.clone(), Arc::clone(&name))
            {
                return Err(BindError::Shared {
                    endpoint,
                    pipes: [other, name],
                });
            }
            Ok(bound)
        };
        pipes.into_iter().map(bind).collect()
    }

    /// Looks up what no pipe knows, and listens beside pipes with these sources.
    fn bind(
        self,
        existing: &ExistingState,
        sources: &HashSet<Address>,
    ) -> Result<BoundPipe, BindError> {
        let targets = self.settings.targets.iter();
        let targets = targets.map(|target| existing.resolver_cache.resolve("target", target));
        let targets = targets.collect::<Result<_, _>>()?;
        let bind = existing
            .resolver_cache
            .resolve_bind(self.settings.bind.as_ref())?;
        Ok(BoundPipe {
            listening: existing.listen(&self.settings, sources)?,
            targets,
            bind,
            keyed: self,
        })
    }
}

impl BoundPipe {
    /// Moves keys into locked memory, and says how that went.
    pub fn lock_keys(pipes: Vec<Self>) -> (Vec<Self>, io::Result<()>) {
        let mut outcome = Ok(());
        let locked = pipes.into_iter().map(|mut pipe| {
            let (keys, locked) = pipe.keyed.keys.lock();
            pipe.keyed.keys = keys;
            if locked.is_err() {
                outcome = locked;
            }
            pipe
        });
        (locked.collect(), outcome)
    }
}

/// Whether a pipe that is to listen at one place and does so at another can stay there: port 0 is any.
pub(crate) fn may_stay(wanted: &Endpoint, here: &Endpoint) -> bool {
    match (wanted, here) {
        (Endpoint::Tcp(wanted), Endpoint::Tcp(here)) if wanted.port() == 0 => {
            wanted.ip() == here.ip()
        }
        _ => wanted == here,
    }
}

/// The first place that the source of a pipe leads to.
fn first<'a>(settings: &PipeConfig, endpoints: &'a [Endpoint]) -> Result<&'a Endpoint, SetupError> {
    let endpoint = endpoints.first().ok_or_else(|| {
        let error = io::ErrorKind::AddrNotAvailable.into();
        SetupError::resolve("source", &settings.source, error)
    })?;
    if endpoints.len() > 1 {
        log::event(
            Level::Warning,
            Class::Daemon,
            format_args!(
                "{} has several addresses: listening on {endpoint} only",
                settings.source
            ),
            |fields| fields.text("pipe", &settings.name),
        );
    }
    Ok(endpoint)
}

impl Listening {
    /// Where.
    pub(crate) fn endpoint(&self) -> io::Result<Endpoint> {
        match self {
            Self::New(bound) => bound.local_endpoint(),
            Self::Running(endpoint, _) => Ok(endpoint.clone()),
        }
    }

    /// Goes on in the current runtime.
    pub(crate) fn start(self) -> io::Result<Arc<Listener>> {
        match self {
            Self::New(bound) => bound.start().map(Arc::new),
            Self::Running(endpoint, listener) => match listener.upgrade() {
                Some(listener) => Ok(listener),
                // It has moved meanwhile.
                None => Listener::bind(&endpoint).map(Arc::new),
            },
        }
    }
}

impl ExistingState {
    /// A pipe listens where one of its source does, whatever that leads to now, or at a place that
    /// another one leaves; else at the first place that its source leads to.
    fn listen(
        &self,
        settings: &PipeConfig,
        sources: &HashSet<Address>,
    ) -> Result<Listening, BindError> {
        let take = |there: &RunningListener| {
            let listener = Weak::clone(&there.listener);
            Listening::Running(there.endpoint.clone(), listener)
        };
        let source = &settings.source;
        if let Some(there) = self.running.iter().find(|there| there.source == *source) {
            return Ok(take(there));
        }
        let endpoints = setup::resolve("source", source)?;
        let is_left = |there: &&RunningListener| {
            !sources.contains(&there.source) && endpoints.contains(&there.endpoint)
        };
        let endpoint = match self.running.iter().find(is_left) {
            Some(there) => &there.endpoint,
            None => first(settings, &endpoints)?,
        };
        // Also if the pipe there stays, so that both are named.
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
        bound.map(Listening::New).map_err(|error| BindError::Bind {
            endpoint: endpoint.clone(),
            error,
        })
    }

    /// Those that were passed and that none of these pipes listens on.
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
    BoundListener::adopt(passed.socket.try_clone()?, endpoint)
}
