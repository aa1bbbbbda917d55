//! The registry of the process's pipes and its phase. The daemon writes it, and the admin room reads it for
//! status and metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::settings::PipeConfig;
use crate::pipe::state::PipeState;
use crate::pipe::target::Targets;

/// The phase of the process.
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

/// All pipes of the process, its phase, and the counts of its reloads.
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

/// The counts of reloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reloads {
    /// The number of reloads that took effect.
    pub done: u64,
    /// The number of reloads that failed, and so changed nothing but removed keys.
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

    /// Returns the phase of the process.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.state().phase
    }

    /// Returns the counts of reloads.
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
        // No critical section panics with the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
