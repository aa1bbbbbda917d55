//! The targets of a pipe: the addresses that each leads to, and which targets do not work at the moment.

use std::fmt;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use spiped_tokio::{Address, DialError, DialOptions, Endpoint, Socket, dial};
use tokio::time::Instant;

use crate::config::values::Balance;
use crate::log::{self, Class, Level};
use crate::os::fd_limit::is_shortage;
use crate::pipe::close_reason;
use crate::pipe::resolved::Resolved;

/// The time for which a target that has failed is tried after all others.
const SKIPPED: Duration = Duration::from_secs(10);
/// The silence after which a target counts as failed when the connection is given up.
const SILENCE: Duration = Duration::from_secs(1);

/// The targets of a pipe.
#[derive(Debug)]
pub struct Targets {
    pipe: Arc<str>,
    all: Vec<Arc<Target>>,
    balance: Balance,
    /// Counts connections, for `--balance round-robin`.
    turn: AtomicUsize,
}

/// A target: its address, the endpoints that it leads to, and whether it works.
#[derive(Debug)]
pub struct Target {
    address: Address,
    endpoints: Resolved<Endpoint>,
    standing: Mutex<Standing>,
}

/// Whether a target works, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// No connection has tried the target.
    #[default]
    Untried,
    /// The target accepted the last connection.
    Works,
    /// The target did not accept the last connection.
    Failed {
        /// The time at which it is tried in its turn again; until then others are tried first.
        until: Instant,
    },
}

impl Targets {
    /// Makes the targets of the pipe called `pipe`.
    pub fn new(
        pipe: Arc<str>,
        targets: impl IntoIterator<Item = Arc<Target>>,
        balance: Balance,
    ) -> Self {
        Self {
            pipe,
            all: targets.into_iter().collect(),
            balance,
            turn: AtomicUsize::new(0),
        }
    }

    /// Returns the name of the pipe.
    pub(crate) fn pipe(&self) -> &Arc<str> {
        &self.pipe
    }

    /// Returns all targets, in the order of the configuration.
    #[must_use]
    pub fn all(&self) -> &[Arc<Target>] {
        &self.all
    }

    /// Connects to the first target that works, within a limit for all of them.
    ///
    /// The targets are tried one after the other. Each has an equal share of the time that is left, so that
    /// a silent one does not use it up. A target works if it accepts the connection. A target that fails is
    /// tried after all others for 10 seconds, or until it works, unless this machine lacked something. `from`
    /// is as for [`dial`].
    ///
    /// # Errors
    ///
    /// No target works; the error is that of the last one.
    pub async fn dial(&self, from: &[SocketAddr], limit: Duration) -> Result<Socket, DialError> {
        let begin = Instant::now();
        let mut failure = DialError::NoEndpoint;
        let candidates = self.candidates(begin);
        for (target, untried) in candidates.iter().zip((1..=candidates.len()).rev()) {
            let left = limit.saturating_sub(begin.elapsed());
            let share = left / u32::try_from(untried).unwrap_or(u32::MAX);
            let attempt = Attempt::begin(self, target);
            let options = DialOptions::new(share).from(from);
            match dial(&target.endpoints.get(), &options).await {
                Ok(socket) => {
                    attempt.works();
                    return Ok(socket);
                }
                Err(error) => {
                    attempt.fails(&error);
                    failure = error;
                }
            }
        }
        Err(failure)
    }

    /// Returns all targets in the order in which a connection tries them: those that have failed come
    /// last, for there may be no other that works.
    fn candidates(&self, now: Instant) -> Vec<&Target> {
        let all = self.all.iter().map(|target| &**target);
        let (mut candidates, skipped): (Vec<_>, Vec<_>) =
            all.partition(|target| !target.is_skipped(now));
        if self.balance == Balance::RoundRobin && !candidates.is_empty() {
            // Only targets that work take turns, or else the target after a failed one would get two.
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            let first = turn % candidates.len();
            candidates.rotate_left(first);
        }
        candidates.extend(skipped);
        candidates
    }
}

/// A connection's try at a target. The target has failed if the try is given up after a second of
/// silence.
struct Attempt<'a> {
    targets: &'a Targets,
    target: &'a Target,
    begin: Instant,
    is_over: bool,
}

impl<'a> Attempt<'a> {
    fn begin(targets: &'a Targets, target: &'a Target) -> Self {
        let begin = Instant::now();
        target.set_tried(begin);
        Self {
            targets,
            target,
            begin,
            is_over: false,
        }
    }

    fn works(mut self) {
        self.is_over = true;
        if self.target.set_works() {
            let what = format_args!("target {} works again", self.target.address);
            self.log(Level::Notice, what);
        }
    }

    fn fails(mut self, error: &DialError) {
        self.is_over = true;
        let is_short = matches!(error, DialError::Connect { error, .. } if is_shortage(error));
        if !is_short && !error.is_own() {
            self.target_fails(format_args!("{}", close_reason::dial_error(error)));
        }
    }

    fn target_fails(&self, why: fmt::Arguments<'_>) {
        if self.target.set_failed(Instant::now()) {
            let address = &self.target.address;
            let what = format_args!("target {address} is passed over from now on: {why}");
            self.log(Level::Warning, what);
        }
    }

    /// Logs a line, unless the pipe has one target, which is never passed over.
    fn log(&self, level: Level, what: fmt::Arguments<'_>) {
        if self.targets.all.len() > 1 {
            log::event(level, Class::Dial, what, |fields| {
                fields.text("pipe", &self.targets.pipe);
            });
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let silence = self.begin.elapsed();
        if !self.is_over && silence >= SILENCE {
            self.target_fails(format_args!("no answer within {silence:.0?}"));
        }
    }
}

/// Makes the targets of a client, which has one.
impl From<Target> for Targets {
    fn from(target: Target) -> Self {
        Self::new("".into(), [Arc::new(target)], Balance::default())
    }
}

impl Target {
    /// Makes the target at `address`, which was looked up to lead to `endpoints`.
    #[must_use]
    pub fn new(address: Address, endpoints: Vec<Endpoint>) -> Self {
        Self {
            address,
            endpoints: endpoints.into(),
            standing: Mutex::default(),
        }
    }

    /// Returns the address as it was configured.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns the endpoints that the address leads to.
    #[must_use]
    pub fn endpoints(&self) -> &Resolved<Endpoint> {
        &self.endpoints
    }

    /// Returns whether the target works, as far as is known.
    #[must_use]
    pub fn standing(&self) -> Standing {
        *self.lock()
    }

    fn is_skipped(&self, now: Instant) -> bool {
        matches!(self.standing(), Standing::Failed { until } if now < until)
    }

    /// Notes that a connection tries the target. If it failed before, other connections skip it meanwhile.
    fn set_tried(&self, now: Instant) {
        if let Standing::Failed { until } = &mut *self.lock() {
            *until = now + SKIPPED;
        }
    }

    /// Notes that the target has accepted a connection. Returns whether it had failed before.
    fn set_works(&self) -> bool {
        let before = mem::replace(&mut *self.lock(), Standing::Works);
        matches!(before, Standing::Failed { .. })
    }

    /// Notes that the target has failed. Returns whether it had not failed before.
    fn set_failed(&self, now: Instant) -> bool {
        let until = now + SKIPPED;
        let before = mem::replace(&mut *self.lock(), Standing::Failed { until });
        !matches!(before, Standing::Failed { .. })
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
