//! What a pipe needs before its first connection: its keys, its addresses looked up, and a socket
//! that listens. All of it may block.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use spiped_tokio::{BoundListener, Endpoint, Listener};

use crate::inherited::Inherited;
use crate::keyfile::KeySource;
use crate::keys::Keys;
use crate::log::{self, Class, Level};
use crate::reason::reason;
use crate::settings::PipeSettings;
use crate::start::{self, StartError};

/// Why a pipe cannot run.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A key or an address is no good.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The source address cannot be listened on.
    #[error("cannot listen on {endpoint}: {}", reason(.error))]
    Bind {
        /// The address.
        endpoint: Endpoint,
        /// Why not.
        error: io::Error,
    },
}

/// A pipe whose keys are known.
#[derive(Clone, Debug)]
pub struct Keyed {
    pub(crate) settings: PipeSettings,
    pub(crate) keys: Keys,
}

/// A pipe that can run.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) keyed: Keyed,
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
    /// One that another pipe, or an earlier form of this one, accepts from.
    Running(Arc<Listener>),
}

/// Sockets that were passed to the process.
#[derive(Debug, Default)]
pub enum Passed {
    /// None.
    #[default]
    None,
    /// The one for the only pipe, which listens nowhere else.
    One(Inherited),
    /// Each for the pipe that is to listen there. Other pipes bind their own.
    Any(Vec<Inherited>),
}

/// Sockets that listen already, to be taken rather than bound again.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Those that were passed to the process.
    pub inherited: Passed,
    /// Those of the pipes that run, and where they listen.
    pub running: Vec<(Endpoint, Arc<Listener>)>,
}

impl Keyed {
    /// Reads the keys of pipes; what came from standard input before is not there a second time.
    ///
    /// # Errors
    ///
    /// One cannot be read.
    pub fn read_all(
        pipes: Vec<PipeSettings>,
        from_stdin: Option<&Keys>,
    ) -> Result<Vec<Self>, PrepareError> {
        let read = |settings: PipeSettings| {
            let keys = match (&settings.key, from_stdin) {
                (KeySource::Stdin, Some(keys)) => keys.clone(),
                (source, _) => start::read_keys(source, settings.mode)?,
            };
            Ok(Self { settings, keys })
        };
        pipes.into_iter().map(read).collect()
    }

    /// Looks all addresses up, and listens.
    ///
    /// # Errors
    ///
    /// A name has no address, or the source cannot be listened on.
    pub fn prepare(self, sockets: &Sockets) -> Result<Prepared, PrepareError> {
        let targets = self.settings.targets.iter();
        let targets = targets.map(|target| start::resolve("target", target));
        let targets = targets.collect::<Result<_, _>>()?;
        let bind = start::resolve_bind(self.settings.bind.as_ref())?;
        let endpoint = source(&self.settings)?;
        Ok(Prepared {
            listening: sockets.listen(&endpoint)?,
            targets,
            bind,
            keyed: self,
        })
    }
}

impl Prepared {
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

/// Where a pipe is to listen: the first of its source's addresses.
pub(crate) fn source(settings: &PipeSettings) -> Result<Endpoint, StartError> {
    let mut endpoints = start::resolve("source", &settings.source)?.into_iter();
    let endpoint = endpoints.next().ok_or_else(|| {
        let error = io::ErrorKind::AddrNotAvailable.into();
        StartError::resolve("source", &settings.source, error)
    })?;
    if endpoints.next().is_some() {
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
            Self::Running(listener) => listener.local_endpoint(),
        }
    }

    /// Goes on in the current runtime.
    pub(crate) fn start(self) -> io::Result<Arc<Listener>> {
        match self {
            Self::New(bound) => bound.start().map(Arc::new),
            Self::Running(listener) => Ok(listener),
        }
    }
}

impl Sockets {
    fn listen(&self, endpoint: &Endpoint) -> Result<Listening, PrepareError> {
        let mut running = self.running.iter();
        if let Some((_, listener)) = running.find(|(taken, _)| taken == endpoint) {
            return Ok(Listening::Running(Arc::clone(listener)));
        }
        let bound = match &self.inherited {
            Passed::None => BoundListener::bind(endpoint),
            Passed::One(passed) => adopt(passed, endpoint),
            Passed::Any(all) => {
                let fits = all.iter().find_map(|passed| adopt(passed, endpoint).ok());
                fits.map_or_else(|| BoundListener::bind(endpoint), Ok)
            }
        };
        bound
            .map(Listening::New)
            .map_err(|error| PrepareError::Bind {
                endpoint: endpoint.clone(),
                error,
            })
    }

    /// Those that were passed and that none of these pipes listens on.
    pub(crate) fn unwanted(&self, pipes: &[Prepared]) -> Vec<&Inherited> {
        let Passed::Any(all) = &self.inherited else {
            return Vec::new();
        };
        let endpoints = pipes.iter().map(|pipe| pipe.listening.endpoint());
        let endpoints: Vec<_> = endpoints.filter_map(Result::ok).collect();
        let is_wanted = |passed| endpoints.iter().any(|at| adopt(passed, at).is_ok());
        all.iter().filter(|passed| !is_wanted(passed)).collect()
    }
}

fn adopt(passed: &Inherited, endpoint: &Endpoint) -> io::Result<BoundListener> {
    BoundListener::adopt(passed.socket.try_clone()?, endpoint)
}
