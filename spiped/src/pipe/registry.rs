//! What there is to see of the process from outside: its pipes, their books, and whether it serves.
//! Others read it; the fleet and the daemon write.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::settings::PipeConfig;
use crate::pipe::admission::Admission;
use crate::pipe::stats::PipeStats;
use crate::pipe::target::Targets;

/// How far the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Pipes do not listen yet.
    Starting,
    /// They do.
    Serving,
    /// They do not any more; connections come to their ends.
    Draining,
}

impl Phase {
    /// One word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }
}

/// All that there is to see.
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

/// How often settings were read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reloads {
    /// And taken on.
    pub done: u64,
    /// And were wrong.
    pub failed: u64,
}

/// A pipe.
#[derive(Clone, Debug)]
pub struct PipeEntry {
    /// What it is, or was.
    pub settings: PipeConfig,
    /// Whether it is there no more, but connections of it are.
    pub removed: bool,
    /// What passes through it.
    pub stats: Arc<PipeStats>,
    /// Who waits in front of it.
    pub admission: Arc<Admission>,
    /// Where its connections go.
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
    /// How long the process has been serving.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// How far the process is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.state().phase
    }

    /// How often settings were read again.
    #[must_use]
    pub fn reloads(&self) -> Reloads {
        self.state().reloads
    }

    /// All pipes by name, and those that are gone and have connections still.
    #[must_use]
    pub fn pipes(&self) -> BTreeMap<Arc<str>, PipeEntry> {
        let mut state = self.state();
        let is_left = |pipe: &PipeEntry| !pipe.removed || !pipe.stats.open_connections().is_empty();
        state.pipes.retain(|_, pipe| is_left(pipe));
        state.pipes.clone()
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.state().phase = phase;
    }

    pub(crate) fn reloaded(&self, well: bool) {
        let reloads = &mut self.state().reloads;
        match well {
            true => reloads.done += 1,
            false => reloads.failed += 1,
        }
    }

    /// The books and the gate of a pipe of that name, if there are any.
    pub(crate) fn find(&self, name: &str) -> Option<(Arc<PipeStats>, Arc<Admission>)> {
        let state = self.state();
        let pipe = state.pipes.get(name)?;
        Some((Arc::clone(&pipe.stats), Arc::clone(&pipe.admission)))
    }

    pub(crate) fn insert(&self, pipe: PipeEntry) {
        let name = Arc::clone(&pipe.settings.name);
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
