//! Where key exchange arithmetic is done: on a few threads of its own, so that no connection that
//! moves data waits behind a hundred that begin.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use spiped_proto::{Computation, Step};
use tokio::sync::oneshot;

use crate::priority;

/// As many threads as there are processors, started with the first computation.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyExchangePool(Arc<Mutex<Option<mpsc::Sender<Job>>>>);

struct Job {
    computation: Computation,
    result: oneshot::Sender<Step>,
}

impl KeyExchangePool {
    /// Has a computation done after those that wait already. One whose future is dropped while it
    /// waits is never done.
    pub(crate) async fn run(&self, computation: Computation) -> io::Result<Step> {
        let (result, done) = oneshot::channel();
        let job = Job {
            computation,
            result,
        };
        self.queue()?.send(job).map_err(io::Error::other)?;
        done.await.map_err(io::Error::other)
    }

    fn queue(&self) -> io::Result<mpsc::Sender<Job>> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*queue {
            Some(queue) => Ok(queue.clone()),
            None => Ok(queue.insert(start()?).clone()),
        }
    }
}

/// Starts the threads, which end when nobody can send them jobs any more.
fn start() -> io::Result<mpsc::Sender<Job>> {
    let (sender, jobs) = mpsc::channel();
    let jobs = Arc::new(Mutex::new(jobs));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..threads {
        let jobs = Arc::clone(&jobs);
        thread::Builder::new()
            .name("key-exchange".to_owned())
            .spawn(move || work(&jobs))?;
    }
    Ok(sender)
}

fn work(jobs: &Mutex<mpsc::Receiver<Job>>) {
    priority::yield_to_others();
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job {
            computation,
            result,
        }) = next
        else {
            return;
        };
        if result.is_closed() {
            continue;
        }
        // A bug must not cost others the thread; who waits learns of it as the result is dropped.
        if let Ok(step) = panic::catch_unwind(AssertUnwindSafe(|| computation.run())) {
            // Whoever waited may have given up meanwhile.
            let _ = result.send(step);
        }
    }
}
