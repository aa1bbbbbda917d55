//! The first half of a reload, before any pipe changes: it removes keys whose files are gone, reads settings
//! and keys, looks names up and binds.
//!
//! Each step may block for ever. So it is done on a thread that serves no connection, the caller can give
//! it up at any time, and keys are removed first.

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
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
/// the reload up.
#[derive(Clone, Debug, Default)]
struct Progress(Arc<State>);

#[derive(Debug, Default)]
struct State {
    waits_for: Mutex<String>,
    is_abandoned: AtomicBool,
}

impl Progress {
    fn is_now(&self, what: impl Display) {
        *self.lock() = what.to_string();
    }

    fn is_abandoned(&self) -> bool {
        self.0.is_abandoned.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        let waits_for = self.0.waits_for.lock();
        waits_for.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The caller's half of [`Progress`]: dropping it gives the reload up.
struct Waiting(Progress);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.is_abandoned.store(true, Ordering::Relaxed);
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
            Err(_) => Err(DaemonError::Late {
                what: self.0.lock().clone(),
                seconds: PATIENCE.as_secs(),
            }),
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
            progress.is_now(format_args!("the look-up of the {role} address {address}"));
            let found = resolver.resolve(&address).await;
            let found = found.map_err(|error| SetupError::resolve(role, &address, error))?;
            existing.resolver_cache.add(&address, found);
        }
        progress.is_now("the sockets to listen on");
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
        progress.is_now(source);
        remove(keys.without_file(MissingFolder::KeepsKeys));
    }
    progress.is_now(config_source);
    let wanted = config_source.read_again(running);
    let (names, missing_folder): (HashSet<_>, _) = match &wanted {
        Ok(wanted) => {
            let names = wanted.iter().map(|pipe| Arc::clone(&pipe.name));
            (names.collect(), MissingFolder::LosesKeys)
        }
        Err(_) => (HashSet::new(), MissingFolder::KeepsKeys),
    };
    // The keys of the pipes that stay are read below.
    let unwanted = running
        .iter()
        .filter(|(pipe, _)| !names.contains(&pipe.name));
    let unwanted = unwanted.map(|(pipe, keys)| (&pipe.key, keys, missing_folder));
    let retired = retired().map(|(source, keys)| (source, keys, MissingFolder::LosesKeys));
    for (source, keys, missing_folder) in unwanted.chain(retired) {
        progress.is_now(source);
        remove(keys.gone_from(source, missing_folder));
    }
    // All are read, even after an error, so that each pipe's keys that are gone are removed.
    let read = wanted?
        .into_iter()
        .map(|pipe| read_keys(pipe, running, progress));
    let read: Vec<_> = read.collect();
    Ok(read.into_iter().collect::<Result<_, _>>()?)
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
            remove(keys.replace(before));
        }
    }
    Ok(())
}

fn read_keys(
    config: PipeConfig,
    running: &[(PipeConfig, Keys)],
    progress: &Progress,
) -> Result<(PipeConfig, Keys), SetupError> {
    progress.is_now(&config.key);
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
    remove(reread.gone);
    Ok((config, setup::warned(reread.keys)?))
}

/// Removes keys that are gone. Their clients cannot connect any more, and their connections end.
fn remove(keys: Vec<Arc<Entry>>) {
    for key in keys {
        if key.remove()
            && let Some(client) = key.client()
        {
            log::notice(
                Class::Daemon,
                format_args!("a key of {client} is gone: it lets nobody in any more"),
            );
        }
    }
}
