//! Where a handshake's arithmetic is done: on a few threads of its own, so that no connection that
//! moves data waits behind a hundred that begin.

mod trials;

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use spiped_proto::{Computation, Error, Step};
use tokio::sync::oneshot;

use super::{HandshakeError, priority, processors};
use trials::Trials;

/// How many strangers for each processor are many: together they take at most a few milliseconds of
/// it.
const CROWD: usize = 16;

/// Threads for the arithmetic of handshakes, as many as there are processors.
///
/// Clones share them, and any number of [`Handshaker`](crate::Handshaker)s can. They start with the
/// first computation and end with the last clone.
#[derive(Clone, Debug)]
pub struct KeyExchangePool(Arc<Owner>);

#[derive(Debug)]
struct Owner {
    queue: Arc<Queue>,
    /// Peers that have proved nothing yet.
    strangers: AtomicUsize,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_all();
    }
}

/// Counts a peer that has proved nothing yet, until it is dropped.
#[derive(Debug)]
pub(super) struct Stranger<'a>(&'a AtomicUsize);

impl Drop for Stranger<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Queue {
    threads: usize,
    /// Whether the threads let others go first.
    yields: bool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// For peers that have proved a key.
    exchanges: VecDeque<Job>,
    /// For strangers: behind all of those.
    trials: Trials,
    started: bool,
    closed: bool,
}

impl State {
    /// Takes the job that is next.
    fn take(&mut self) -> Option<Job> {
        let exchange = self.exchanges.pop_front();
        exchange.or_else(|| self.trials.pop())
    }
}

#[derive(Debug)]
struct Job {
    computation: Computation,
    result: oneshot::Sender<Result<Step, Error>>,
}

impl Job {
    /// Does it, unless nobody waits for it any more.
    fn work(self) {
        if self.result.is_closed() {
            return;
        }
        let computed = panic::catch_unwind(AssertUnwindSafe(|| self.computation.run()));
        // A bug must not cost others the thread; who waits learns of it as the result is dropped.
        if let Ok(outcome) = computed {
            // Whoever waited may have given up meanwhile.
            let _ = self.result.send(outcome);
        }
    }
}

/// Keeps a job for a stranger in the queue until it is taken, or this is dropped: nobody comes to jobs that
/// wait behind a flood, and those that nobody waits for would add up.
#[derive(Debug)]
struct Trial<'a> {
    queue: &'a Queue,
    source: Option<IpAddr>,
    number: u64,
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        let job = self.queue.lock().trials.remove(self.source, self.number);
        drop(job);
    }
}

impl Default for KeyExchangePool {
    fn default() -> Self {
        Self::new()
    }
}

impl KeyExchangePool {
    /// A pool whose threads are still to start.
    #[must_use]
    pub fn new() -> Self {
        Self::with_threads(processors::count(), true)
    }

    /// The same with threads that leave their priority as it is. On Linux, those of [`new`](Self::new) lower
    /// theirs by setpriority(2), which a filter of system calls may kill the process for.
    #[must_use]
    pub fn with_equal_priority() -> Self {
        Self::with_threads(processors::count(), false)
    }

    fn with_threads(threads: usize, yields: bool) -> Self {
        let queue = Arc::new(Queue {
            threads,
            yields,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        Self(Arc::new(Owner {
            queue,
            strangers: AtomicUsize::new(0),
        }))
    }

    /// Counts a peer that has proved nothing yet.
    pub(super) fn enter(&self) -> Stranger<'_> {
        self.0.strangers.fetch_add(1, Ordering::Relaxed);
        Stranger(&self.0.strangers)
    }

    /// Whether many peers have proved nothing yet.
    pub(super) fn is_crowded(&self) -> bool {
        self.0.strangers.load(Ordering::Relaxed) > CROWD * self.0.queue.threads
    }

    /// Has a computation done: one for a peer that has proved a key after those that wait already, and one for a
    /// stranger from `source` [in its turn](Trials) after all of those. One whose future is dropped while it
    /// waits is never done.
    pub(super) async fn run(
        &self,
        computation: Computation,
        source: Option<IpAddr>,
    ) -> Result<Step, HandshakeError> {
        let (result, done) = oneshot::channel();
        let job = Job {
            computation,
            result,
        };
        let _trial = self.0.queue.push(job, source)?;
        Ok(done.await.map_err(io::Error::other)??)
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a job wait, for a stranger as long as what this returns is kept.
    fn push(self: &Arc<Self>, job: Job, source: Option<IpAddr>) -> io::Result<Option<Trial<'_>>> {
        let mut state = self.lock();
        if !state.started {
            self.start()?;
            state.started = true;
        }
        let mut number = None;
        match job.computation.is_for_stranger() {
            true => number = Some(state.trials.push(source, job)),
            false => state.exchanges.push_back(job),
        }
        drop(state);
        self.changed.notify_one();
        Ok(number.map(|number| Trial {
            queue: self,
            source,
            number,
        }))
    }

    /// Starts the threads, or as many as the system allows; none at all is an error.
    fn start(self: &Arc<Self>) -> io::Result<()> {
        for number in 0..self.threads {
            let queue = Arc::clone(self);
            let thread = thread::Builder::new().name("key-exchange".to_owned());
            match thread.spawn(move || queue.work()) {
                Err(error) if number == 0 => return Err(error),
                Err(_) => break,
                Ok(_) => {}
            }
        }
        Ok(())
    }

    fn work(&self) {
        if self.yields {
            priority::yield_to_others();
        }
        while let Some(job) = self.next() {
            job.work();
        }
    }

    /// Waits for a job; `None` once nobody can hand one in any more.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.take() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests;
