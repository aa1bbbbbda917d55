//! Where a handshake's arithmetic is done: on a few threads of its own, so that no connection that
//! moves data waits behind a hundred that begin.

use std::collections::VecDeque;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use spiped_proto::{Computation, Error, Step};
use tokio::sync::oneshot;

use super::{HandshakeError, priority, processors};

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
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// For peers that have proved a key.
    exchanges: VecDeque<Job>,
    /// For strangers: behind all of those.
    trials: VecDeque<Job>,
    started: bool,
    closed: bool,
}

#[derive(Debug)]
struct Job {
    computation: Computation,
    result: oneshot::Sender<Result<Step, Error>>,
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
        let queue = Arc::new(Queue {
            threads: processors::count(),
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

    /// Has a computation done after those of its kind that wait already, and one for a stranger after
    /// all others. One whose future is dropped while it waits is never done.
    pub(super) async fn run(&self, computation: Computation) -> Result<Step, HandshakeError> {
        let (result, done) = oneshot::channel();
        self.0.queue.push(Job {
            computation,
            result,
        })?;
        Ok(done.await.map_err(io::Error::other)??)
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(self: &Arc<Self>, job: Job) -> io::Result<()> {
        let mut state = self.lock();
        if !state.started {
            self.start()?;
            state.started = true;
        }
        match job.computation.is_for_stranger() {
            true => state.trials.push_back(job),
            false => state.exchanges.push_back(job),
        }
        drop(state);
        self.changed.notify_one();
        Ok(())
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
        priority::yield_to_others();
        while let Some(job) = self.next() {
            if job.result.is_closed() {
                continue;
            }
            let computed = panic::catch_unwind(AssertUnwindSafe(|| job.computation.run()));
            // A bug must not cost others the thread; who waits learns of it as the result is dropped.
            if let Ok(outcome) = computed {
                // Whoever waited may have given up meanwhile.
                let _ = job.result.send(outcome);
            }
        }
    }

    /// Waits for a job; `None` once nobody can hand one in any more.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            let job = state.exchanges.pop_front();
            if let Some(job) = job.or_else(|| state.trials.pop_front()) {
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
mod tests {
    use spiped_proto::{Entropy, HandshakeConfig, Secret};

    use super::*;

    fn computation() -> Computation {
        let secret = Secret::from_key_file(b"key");
        let entropy = Entropy::take(&mut [7; Entropy::LEN]);
        let mut step = Step::client(&secret, HandshakeConfig::default(), entropy);
        loop {
            step = match step {
                Step::Send(outgoing) => outgoing.sent(),
                Step::Compute(computation) => return computation,
                other => panic!("a client sends a nonce and computes: {other:?}"),
            };
        }
    }

    #[tokio::test]
    async fn computations_are_done_and_the_threads_end_with_the_pool() {
        let pool = KeyExchangePool::new();
        for _ in 0..3 {
            let step = pool.run(computation()).await.unwrap();
            assert!(matches!(step, Step::Receive(_)), "{step:?}");
        }
        let queue = Arc::downgrade(&pool.0.queue);
        drop(pool);
        while queue.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    }
}
