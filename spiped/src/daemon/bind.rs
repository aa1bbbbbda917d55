//! Makes pipes ready for their first connection: reads their keys, looks their names up, and
//! listens. All of it may block.

mod existing;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use spiped_tokio::{Address, Endpoint};

use crate::config::settings::PipeConfig;
use crate::config::setup::{self, SetupError};
use crate::config::sources::leads_to;
use crate::keys::Keys;
use crate::log::{self, Class, Level};

pub(crate) use existing::may_stay;
pub use existing::{ExistingState, InheritedSockets, Listening, RunningListener};

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
