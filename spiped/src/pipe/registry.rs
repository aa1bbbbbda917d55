//! The process as status and metrics show it: its pipes, and how far it is. The daemon writes it, the
//! admin room reads it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::settings::PipeConfig;
use crate::pipe::state::PipeState;
use crate::pipe::target::Targets;

/// How far the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The pipes do not accept connections yet.
    Starting,
    /// The pipes accept connections.
    Serving,
    /// The pipes accept no more connections; those that are open go on to their end.
    Draining,
}

impl Phase {
    /// Returns the phase in one word, for programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }
}

/// All pipes of the process, how far it is, and how often it was reloaded.
#[derive(Debug)]
pub struct Registry {
    started: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    reloads: Reloads,
    pipes: BTreeMap<Arc<str>, PipeEntry>,
}

/// How often the configuration was read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reloads {
    /// Reloads that took effect.
    pub done: u64,
    /// Reloads that changed nothing, because something was wrong.
    pub failed: u64,
}

/// A pipe that runs, or one that was removed and still has connections.
#[derive(Clone, Debug)]
pub struct PipeEntry {
    /// The configuration of the pipe, the last one if it was removed.
    pub config: PipeConfig,
    /// Whether the pipe was removed.
    pub removed: bool,
    /// The state that outlasts a change of the configuration.
    pub state: Arc<PipeState>,
    /// The targets that connections go to.
    pub targets: Arc<Targets>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            state: Mutex::new(State {
                phase: Phase::Starting,
                reloads: Reloads::default(),
                pipes: BTreeMap::new(),
            }),
        }
    }
}

impl Registry {
    /// Returns how long ago the process started.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns how far the process is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.state().phase
    }

    /// Returns how often the configuration was read again.
    #[must_use]
    pub fn reloads(&self) -> Reloads {
        self.state().reloads
    }

    /// Returns all pipes by name, with those that were removed and still have connections.
    #[must_use]
    pub fn pipes(&self) -> BTreeMap<Arc<str>, PipeEntry> {
        let mut state = self.state();
        let is_left =
            |pipe: &PipeEntry| !pipe.removed || !pipe.state.stats.open_connections().is_empty();
        state.pipes.retain(|_, pipe| is_left(pipe));
        state.pipes.clone()
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.state().phase = phase;
    }

    pub(crate) fn count_reload(&self, well: bool) {
        let reloads = &mut self.state().reloads;
        match well {
            true => reloads.done += 1,
            false => reloads.failed += 1,
        }
    }

    /// Returns the state of the pipe called `name`, if there is one.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<PipeState>> {
        let pipes = &self.state().pipes;
        Some(Arc::clone(&pipes.get(name)?.state))
    }

    pub(crate) fn insert(&self, pipe: PipeEntry) {
        let name = Arc::clone(&pipe.config.name);
        self.state().pipes.insert(name, pipe);
    }

    pub(crate) fn remove(&self, name: &str) {
        if let Some(pipe) = self.state().pipes.get_mut(name) {
            pipe.removed = true;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
