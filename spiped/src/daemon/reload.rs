//! The first half of a reload, before any pipe changes: it removes keys whose files are gone, reads settings
//! and keys, looks names up and binds.
//!
//! Each step may block for ever. So it is done on a thread that serves no connection, the caller can give
//! it up at any time, and keys are removed first.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::DaemonError;
use crate::config::settings::PipeConfig;
use crate::config::setup::{self, SetupError};
use crate::daemon::bind::{self, BoundPipe, ExistingState};
use crate::daemon::blocking_thread::BlockingThread;
use crate::daemon::config_source::ConfigSource;
use crate::daemon::resolver::Resolver;
use crate::keys::{EarlierKeys, Entry, Keys, KeysSource, MissingFolder};
use crate::log::{self, Class};
use crate::os::os_error::os_error;

/// How long a reload may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A reload that is asked for, with the state that it starts from.
pub(super) struct Reload {
    pub(super) config_source: ConfigSource,
    pub(super) existing: ExistingState,
    /// The pipes that run.
    pub(super) running: Vec<(PipeConfig, Keys)>,
    /// The keys of pipes that are gone and still have connections, and where they were.
    pub(super) retired: Vec<(KeysSource, Keys)>,
    pub(super) resolver: Resolver,
    pub(super) thread: BlockingThread,
}

/// The step that a reload is at, for the caller to tell if time runs out; and whether the caller has given
/// the reload up. A reload that was given up may be behind a newer one, so it removes no key any more.
#[derive(Clone, Debug, Default)]
struct Progress(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    waits_for: String,
    is_abandoned: bool,
}

impl Progress {
    /// Notes the next step.
    ///
    /// # Errors
    ///
    /// The reload was given up.
    fn begin(&self, what: impl Display) -> Result<(), DaemonError> {
        let mut state = self.lock();
        if state.is_abandoned {
            return Err(state.late());
        }
        state.waits_for = what.to_string();
        Ok(())
    }

    /// Removes keys that are gone, unless the reload was given up. Their clients cannot connect any more,
    /// and their connections end.
    fn remove(&self, mut keys: Vec<Arc<Entry>>) {
        {
            // Giving the reload up takes this lock too, so no key is removed after that.
            let state = self.lock();
            keys.retain(|key| !state.is_abandoned && key.remove());
        }
        for client in keys.iter().filter_map(|key| key.client()) {
            log::notice(
                Class::Daemon,
                format_args!("a key of {client} is gone: it lets nobody in any more"),
            );
        }
    }

    fn is_abandoned(&self) -> bool {
        self.lock().is_abandoned
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn late(&self) -> DaemonError {
        DaemonError::Late {
            what: self.waits_for.clone(),
            seconds: PATIENCE.as_secs(),
        }
    }
}

/// The caller's half of [`Progress`]: dropping it gives the reload up.
struct Waiting(Progress);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.lock().is_abandoned = true;
    }
}

impl Waiting {
    /// Runs the steps of a reload, which note their progress here.
    ///
    /// # Errors
    ///
    /// They fail, or take longer than [`PATIENCE`].
    async fn limit<T>(
        &self,
        steps: impl Future<Output = Result<T, DaemonError>>,
    ) -> Result<T, DaemonError> {
        match tokio::time::timeout(PATIENCE, steps).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.0.lock().late()),
        }
    }
}

impl Reload {
    /// Gives the pipes that there are to be from now on. Keys that are gone have been removed whatever
    /// comes of the rest.
    ///
    /// # Errors
    ///
    /// Something is wrong with settings, keys or addresses, or takes longer than [`PATIENCE`].
    pub(super) async fn prepare(self) -> Result<Vec<BoundPipe>, DaemonError> {
        let waiting = Waiting(Progress::default());
        waiting.limit(self.run(&waiting.0)).await
    }

    /// Removes keys that are gone, whatever is wrong with the settings and other keys. `running` are pipes
    /// whose connections go on, but which accept none.
    ///
    /// # Errors
    ///
    /// Something is wrong with settings or keys, or takes longer than [`PATIENCE`].
    pub(super) async fn remove_keys(self) -> Result<(), DaemonError> {
        let waiting = Waiting(Progress::default());
        let thread = self.thread.clone();
        let remove = {
            let progress = waiting.0.clone();
            move || remove_keys(&self.config_source, &self.running, &self.retired, &progress)
        };
        let removed = async { thread.run(remove).await.map_err(DaemonError::Reload)? };
        waiting.limit(removed).await
    }

    async fn run(self, progress: &Progress) -> Result<Vec<BoundPipe>, DaemonError> {
        let Self {
            config_source,
            mut existing,
            running,
            retired,
            resolver,
            thread,
        } = self;
        let read = {
            let progress = progress.clone();
            move || read(&config_source, &running, &retired, &progress)
        };
        let pipes = thread.run(read).await.map_err(DaemonError::Reload)??;
        for (role, address) in existing.unknown(&pipes) {
            progress.begin(format_args!("the look-up of the {role} address {address}"))?;
            let found = resolver.resolve(&address).await;
            let found = found.map_err(|error| SetupError::resolve(role, &address, error))?;
            existing.resolver_cache.add(&address, found);
        }
        progress.begin("the sockets to listen on")?;
        let bound = thread.run(move || bind::bind_all(&pipes, &existing));
        let mut bound = bound.await.map_err(DaemonError::Reload)??;
        if let Err(error) = BoundPipe::lock_keys(&mut bound) {
            log::warning(
                Class::Daemon,
                format_args!("keys are not in locked memory: {}", os_error(&error)),
            );
        }
        Ok(bound)
    }
}

/// Reads the configuration and the keys again, and removes the keys that are gone.
fn read(
    config_source: &ConfigSource,
    running: &[(PipeConfig, Keys)],
    retired: &[(KeysSource, Keys)],
    progress: &Progress,
) -> Result<Vec<(PipeConfig, Keys)>, DaemonError> {
    let current = running.iter().map(|(config, keys)| (&config.key, keys));
    let retired = || retired.iter().map(|(source, keys)| (source, keys));
    // Keys whose files are gone are removed first, as reading may take long.
    for (source, keys) in current.chain(retired()) {
        progress.begin(source)?;
        progress.remove(keys.without_file(MissingFolder::KeepsKeys));
    }
    progress.begin(config_source)?;
    let wanted = config_source.read_again(running);
    let places: Option<HashMap<_, _>> = wanted.as_ref().ok().map(|wanted| {
        let places = wanted.iter().map(|pipe| (&pipe.name, &pipe.key));
        places.collect()
    });
    for (pipe, keys) in running {
        let missing_folder = match places.as_ref().map(|places| places.get(&pipe.name)) {
            // The keys of a pipe that stays are read below.
            Some(Some(place)) if **place == pipe.key => continue,
            Some(None) => MissingFolder::LosesKeys,
            Some(Some(_)) | None => MissingFolder::KeepsKeys,
        };
        progress.begin(&pipe.key)?;
        progress.remove(keys.gone_from(&pipe.key, missing_folder));
    }
    for (source, keys) in retired() {
        progress.begin(source)?;
        progress.remove(keys.gone_from(source, MissingFolder::LosesKeys));
    }
    let mut wanted: Vec<_> = wanted?.into_iter().enumerate().collect();
    // A fifo may keep the reload waiting, and clients' keys are read from files alone: so those that are gone
    // are removed before.
    wanted.sort_by_cached_key(|(_, pipe)| !pipe.key.is_of_clients(pipe.mode.into()));
    // All are read, even after an error, so that each pipe's keys that are gone are removed.
    let mut read = Vec::new();
    for (position, pipe) in wanted {
        progress.begin(&pipe.key)?;
        read.push((position, read_keys(pipe, running, progress)));
    }
    read.sort_by_key(|(position, _)| *position);
    let read = read.into_iter().map(|(_, read)| read);
    Ok(read.collect::<Result<_, _>>()?)
}

/// Removes the keys that are gone, and those that a pipe of the same name does not have any more.
fn remove_keys(
    config_source: &ConfigSource,
    running: &[(PipeConfig, Keys)],
    retired: &[(KeysSource, Keys)],
    progress: &Progress,
) -> Result<(), DaemonError> {
    for (config, mut keys) in read(config_source, running, retired, progress)? {
        let before = running.iter().find(|(pipe, _)| pipe.name == config.name);
        if let Some((_, before)) = before {
            progress.remove(keys.replace(before));
        }
    }
    Ok(())
}

fn read_keys(
    config: PipeConfig,
    running: &[(PipeConfig, Keys)],
    progress: &Progress,
) -> Result<(PipeConfig, Keys), SetupError> {
    let earlier = |is_it: &dyn Fn(&PipeConfig) -> bool| {
        let found = running.iter().find(|(pipe, _)| is_it(pipe));
        found.map(|(_, keys)| keys)
    };
    let earlier = EarlierKeys {
        same_source: earlier(&|pipe| pipe.key == config.key),
        same_pipe: earlier(&|pipe| pipe.name == config.name),
    };
    let is_abandoned = || progress.is_abandoned();
    let reread = Keys::read_again(&config.key, config.mode.into(), earlier, &is_abandoned);
    progress.remove(reread.gone);
    Ok((config, setup::warned(reread.keys)?))
}

#[cfg(test)]
mod tests;
