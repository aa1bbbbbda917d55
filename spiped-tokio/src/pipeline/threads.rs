//! Spare threads, of the whole process: as many as directions move bulk data at a time, which is
//! half as many as there are processors at most. They end when they had nothing to do for a while.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::pace;

/// How long a thread waits for a job.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) trait Job: Send + Sync + 'static {
    fn run(&self);
}

struct State {
    jobs: VecDeque<Arc<dyn Job>>,
    threads: usize,
    /// Threads that wait and that nobody has woken.
    idle: usize,
    /// Threads that were woken, and have yet to notice.
    woken: usize,
}

static STATE: Mutex<State> = Mutex::new(State {
    jobs: VecDeque::new(),
    threads: 0,
    idle: 0,
    woken: 0,
});
static CHANGED: Condvar = Condvar::new();

fn lock() -> MutexGuard<'static, State> {
    // Nothing panics while it is held.
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has a thread run the job as soon as one gets a processor; whether there is any thread.
pub(super) fn offer(job: Arc<dyn Job>) -> bool {
    let mut state = lock();
    if state.idle == 0 && state.threads < pace::directions() {
        let thread = thread::Builder::new().name("bulk".to_owned());
        if thread.spawn(work).is_ok() {
            state.threads += 1;
        }
    }
    if state.threads == 0 {
        return false;
    }
    state.jobs.push_back(job);
    if state.idle > 0 {
        state.idle -= 1;
        state.woken += 1;
        drop(state);
        CHANGED.notify_one();
    }
    true
}

fn work() {
    while let Some(job) = next() {
        job.run();
    }
}

fn next() -> Option<Arc<dyn Job>> {
    let mut state = lock();
    loop {
        if let Some(job) = state.jobs.pop_front() {
            return Some(job);
        }
        state.idle += 1;
        let waited = CHANGED.wait_timeout_while(state, PATIENCE, |state| state.woken == 0);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        if state.woken == 0 {
            state.idle -= 1;
            state.threads -= 1;
            return None;
        }
        state.woken -= 1;
    }
}
