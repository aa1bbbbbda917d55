//! The limits on the connections of a pipe: those that are served (`-n`), those that wait to be served,
//! and those of one client.

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::settings::PipeConfig;
use crate::log::{self, Class, Level};
use crate::os::fd_limit::FdLimit;
use crate::pipe::per_client_limit::{ClientPermit, PerClientLimit, PerClientLimitReached};
use crate::pipe::unproved::{Bounds, UnprovedConnections};

/// The most connections that wait to be served; further ones wait in the system's queue.
const WAITING_MAX: usize = 4096;

/// The limits of a pipe, in connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that are served; `None` is no limit.
    pub served: Option<NonZeroU64>,
    /// Connections that have not proved a key.
    pub unproved: Bounds,
    /// Connections that have proved a key and wait until they are served.
    pub waiting: NonZeroUsize,
    /// Connections of one client, served or waiting; `None` is no limit.
    pub per_client: Option<NonZeroUsize>,
}

/// The share that each pipe of the process has of the file descriptors for connections that are not
/// served.
#[derive(Clone, Copy, Debug)]
pub struct Shares {
    each: usize,
}

impl Shares {
    /// Divides equally what connections that are served leave of the limit on open files.
    #[must_use]
    pub fn among<'a>(
        pipes: impl Iterator<Item = &'a PipeConfig> + Clone,
        descriptors: FdLimit,
    ) -> Self {
        let spare = descriptors.beside(served_by(pipes.clone()));
        let spare = usize::try_from(spare).unwrap_or(usize::MAX);
        Self {
            each: spare / pipes.count().max(1),
        }
    }
}

/// Returns how many connections all pipes together may serve at a time; `None` is no limit.
pub fn served_by<'a>(mut pipes: impl Iterator<Item = &'a PipeConfig>) -> Option<u64> {
    pipes.try_fold(0u64, |all, pipe| {
        Some(all.saturating_add(pipe.connection.max_connections.get()?.get()))
    })
}

impl Limits {
    /// Returns the limits that `pipe` asks for, reduced to its share of the file descriptors.
    #[must_use]
    pub fn new(pipe: &PipeConfig, shares: Shares) -> Self {
        let served = pipe.connection.max_connections.get();
        // Without a limit no connection waits.
        let waiting = served.map_or(0, |_| shares.each / 2).min(WAITING_MAX);
        let unproved =
            size(pipe.connection.max_unproved.get()).min(at_least_one(shares.each - waiting));
        Self {
            served,
            unproved: Bounds {
                all: unproved,
                per_source: pipe
                    .connection
                    .max_unproved_per_source
                    .get()
                    .map(|max| size(Some(max))),
            },
            waiting: at_least_one(waiting),
            per_client: pipe
                .connection
                .max_connections_per_client
                .get()
                .map(|max| size(Some(max))),
        }
    }
}

/// Admits the connections of a pipe, whatever its configuration is at the time.
#[derive(Debug)]
pub struct Admission {
    /// The name of the pipe.
    name: Arc<str>,
    /// A permit for each connection that may be served.
    served: Arc<Semaphore>,
    /// A permit for each connection that may wait to be served after it has proved a key.
    waiting: Arc<Semaphore>,
    /// The connections that have not proved a key.
    pub unproved: Arc<UnprovedConnections>,
    per_client: Arc<PerClientLimit>,
    /// The number of permits of `served` and `waiting`, taken or not.
    sizes: Mutex<[usize; 2]>,
}

/// Permission to be served, which a connection holds to its end.
pub type Permit = OwnedSemaphorePermit;

/// Permission to be served for a connection that has proved a key, which it holds to its end.
#[derive(Debug)]
pub struct ConnectionPermits {
    _client_permit: Option<ClientPermit>,
    _permit: Option<Permit>,
}

impl Admission {
    /// Makes the admission of a pipe called `name`, which has no connection yet.
    #[must_use]
    pub fn new(name: Arc<str>, limits: Limits) -> Self {
        let sizes = permits(limits);
        let [served, waiting] = sizes.map(|size| Arc::new(Semaphore::new(size)));
        Self {
            name,
            served,
            waiting,
            unproved: Arc::new(UnprovedConnections::new(limits.unproved)),
            per_client: Arc::new(PerClientLimit::new(limits.per_client)),
            sizes: Mutex::new(sizes),
        }
    }

    /// Changes the limits. Connections that are served go on; if they are too many now, others wait
    /// until enough of them have ended. Call it in a runtime.
    pub fn set_limits(&self, limits: Limits) {
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = permits(limits);
        for ((semaphore, size), wanted) in [&self.served, &self.waiting]
            .into_iter()
            .zip(*sizes)
            .zip(wanted)
        {
            semaphore.add_permits(wanted.saturating_sub(size));
            let excess = size.saturating_sub(wanted);
            let taken = excess - semaphore.forget_permits(excess);
            if let Ok(taken @ 1..) = u32::try_from(taken) {
                let semaphore = Arc::clone(semaphore);
                tokio::spawn(async move {
                    if let Ok(permits) = semaphore.acquire_many_owned(taken).await {
                        permits.forget();
                    }
                });
            }
        }
        *sizes = wanted;
        self.unproved.set_bounds(limits.unproved);
        self.per_client.set_bound(limits.per_client);
    }

    /// Admits a connection that has proved a key, of this client if keys are clients'. It may have to
    /// wait for a slot.
    ///
    /// # Errors
    ///
    /// The client has as many connections as it may have.
    pub async fn admit(
        &self,
        client: Option<&Arc<str>>,
    ) -> Result<ConnectionPermits, PerClientLimitReached> {
        let place = client.map(|client| self.per_client.admit(client));
        Ok(ConnectionPermits {
            _client_permit: place.transpose()?,
            _permit: self.permit().await,
        })
    }

    /// Returns a permit to be served; waits for one, and says so in the log, at the limit.
    pub async fn permit(&self) -> Option<Permit> {
        if let Ok(permit) = Arc::clone(&self.served).try_acquire_owned() {
            return Some(permit);
        }
        let [limit, _] = *self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        log::event(
            Level::Warning,
            Class::Limit,
            format_args!("connection limit reached ({limit}): others wait until one ends"),
            |fields| fields.text("pipe", &self.name),
        );
        let _waiting = acquire(&self.waiting).await;
        acquire(&self.served).await
    }

    /// Waits until one more connection that has proved a key could wait to be served.
    pub async fn room_to_wait(&self) {
        drop(acquire(&self.waiting).await);
    }
}

fn permits(limits: Limits) -> [usize; 2] {
    // "No limit" is a number that is never reached, far below the greatest one, so that a limit that
    // comes later can take permits back.
    let most = Semaphore::MAX_PERMITS.min(u32::MAX as usize);
    let served = limits.served.map_or(most, |max| {
        usize::try_from(max.get()).map_or(most, |max| max.min(most))
    });
    [served, limits.waiting.get().min(most)]
}

async fn acquire(semaphore: &Arc<Semaphore>) -> Option<Permit> {
    // This fails only for a closed semaphore, and these are never closed.
    Arc::clone(semaphore).acquire_owned().await.ok()
}

fn size(count: Option<NonZeroU64>) -> NonZeroUsize {
    let size = count.and_then(|count| NonZeroUsize::try_from(count).ok());
    size.unwrap_or(NonZeroUsize::MAX)
}

fn at_least_one(size: usize) -> NonZeroUsize {
    NonZeroUsize::new(size).unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::{Args, Command, FromArgMatches};
    use tokio::time::timeout;

    use super::*;
    use crate::config::settings::ConnectionConfig;
    use crate::config::values::{Balance, Mode};
    use crate::keys::keyfile::KeySource;

    const TICK: Duration = Duration::from_millis(1);

    fn pipe(options: &str) -> PipeConfig {
        let command = ConnectionConfig::augment_args(Command::new("pipe").no_binary_name(true));
        let matches = command.get_matches_from(options.split_ascii_whitespace());
        PipeConfig {
            name: "pipe".into(),
            mode: Mode::Decrypt,
            source: "/s".parse().unwrap(),
            targets: vec!["/t".parse().unwrap()],
            balance: Balance::default(),
            key: KeySource::File("key".into()).into(),
            bind: None,
            connection: ConnectionConfig::from_arg_matches(&matches).unwrap(),
        }
    }

    fn limits(options: &str, descriptors: u64) -> (usize, Option<usize>, usize) {
        let pipe = pipe(options);
        let pipes = [&pipe].into_iter();
        let limits = Limits::new(&pipe, Shares::among(pipes, FdLimit::of(descriptors)));
        let per_source = limits.unproved.per_source.map(NonZeroUsize::get);
        let unproved = limits.unproved.all.get();
        (unproved, per_source, limits.waiting.get())
    }

    #[test]
    fn with_many_descriptors_they_are_what_is_asked_for() {
        assert_eq!(limits("", 1_000_000), (4096, None, 4096));
        let asked = "--max-unproved 7 --max-unproved-per-source 3";
        assert_eq!(limits(asked, 1_000_000), (7, Some(3), 4096));
    }

    #[test]
    fn with_few_descriptors_those_who_are_not_served_share_the_rest() {
        assert_eq!(limits("", 1064), (400, None, 400));
        assert_eq!(limits("--max-unproved 0", 1064), (400, None, 400));
        assert_eq!(limits("-n 0", 1064), (500, None, 1));
        assert_eq!(limits("-n 1000", 1064), (63, None, 62));
        assert_eq!(limits("", 3), (1, None, 1));
    }

    #[test]
    fn pipes_share_what_those_who_are_served_leave_over() {
        let pipes = [pipe("-n 100"), pipe("-n 150")];
        let shares = Shares::among(pipes.iter(), FdLimit::of(1064));
        assert_eq!(served_by(pipes.iter()), Some(250));
        assert_eq!(Limits::new(&pipes[0], shares).unproved.all.get(), 125);
        let unlimited = [pipe("-n 100"), pipe("-n 0")];
        assert_eq!(served_by(unlimited.iter()), None);
    }

    fn admission(served: &str) -> (Admission, impl Fn(&str) -> Limits) {
        let of = |served: &str| {
            let pipe = pipe(served);
            let shares = Shares::among([&pipe].into_iter(), FdLimit::of(1_000_000));
            Limits::new(&pipe, shares)
        };
        (Admission::new("web".into(), of(served)), of)
    }

    #[tokio::test(start_paused = true)]
    async fn admission_that_widens_lets_others_in_at_once() {
        let (admission, limits) = admission("-n 1");
        let _first = admission.permit().await;
        admission.set_limits(limits("-n 2"));
        let _second = admission.permit().await;
        assert!(timeout(TICK, admission.permit()).await.is_err());
        admission.set_limits(limits("-n 0"));
        for _ in 0..1000 {
            std::mem::forget(admission.permit().await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn admission_that_narrows_waits_for_those_who_are_in() {
        let (admission, limits) = admission("-n 0");
        let first = admission.permit().await;
        let second = admission.permit().await;
        admission.set_limits(limits("-n 1"));
        assert!(timeout(TICK, admission.permit()).await.is_err());
        drop(first);
        assert!(timeout(TICK, admission.permit()).await.is_err());
        drop(second);
        let third = admission.permit().await;
        assert!(third.is_some());
        assert!(timeout(TICK, admission.permit()).await.is_err());
    }
}
