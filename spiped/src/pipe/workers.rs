//! The threads that serve connections: one for each processor, each with an event loop of its own.
//!
//! A connection stays on the thread that had the fewest connections when it was accepted. Threads that take
//! work from each other also wake each other for it, which slows many small requests down.

use std::iter;
use std::panic::{self, AssertUnwindSafe};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use spiped_tokio::KeyExchangePool;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::log;
use crate::os::event_loop::event_loop;
#[cfg(target_os = "linux")]
use crate::os::syscall_filter::OptionalCall;
use crate::os::system_error::{SystemError, cannot};
use crate::pipe::open_connections::{OpenConnection, OpenConnections};

/// All workers of the process, and the number of connections that they serve.
#[derive(Debug)]
pub struct Workers {
    first: Arc<Worker>,
    others: Vec<Arc<Worker>>,
    connections: Arc<OpenConnections>,
    /// Counts connections, so that workers with equally many take turns.
    turn: AtomicUsize,
    /// True once the workers are to end.
    end: watch::Sender<bool>,
}

#[derive(Debug)]
struct Worker {
    events: Handle,
    connections: AtomicUsize,
}

/// Makes the threads for key exchanges. Call it while the process has one thread, and outside the sandbox, which
/// hides the limits of a container from it.
#[must_use]
pub fn key_exchange_pool() -> KeyExchangePool {
    #[cfg(target_os = "linux")]
    if OptionalCall::Priority.check().is_err() {
        return KeyExchangePool::with_equal_priority();
    }
    KeyExchangePool::new()
}

/// One connection of a worker, which it leaves when this is dropped.
#[derive(Debug)]
pub struct Seat {
    worker: Arc<Worker>,
    _connection: OpenConnection,
}

impl Workers {
    /// Starts `count` workers, one at least.
    ///
    /// # Errors
    ///
    /// The system refuses a thread or an event loop.
    pub fn start(count: usize) -> Result<Self, SystemError> {
        let (end, ended) = watch::channel(false);
        let start = |number| Worker::start(number, ended.clone());
        Ok(Self {
            first: start(0)?,
            others: (1..count).map(start).collect::<Result<_, _>>()?,
            connections: Arc::default(),
            turn: AtomicUsize::new(0),
            end,
        })
    }

    /// Ends the workers and all that they serve: connections by reset.
    pub fn end(&self) {
        self.end.send_replace(true);
    }

    /// Gives one more connection to the worker that has the fewest.
    pub fn seat(&self) -> Seat {
        let in_turn = self.in_turn();
        let fewest = in_turn.min_by_key(|worker| worker.connections.load(Ordering::Relaxed));
        let worker = fewest.unwrap_or(&self.first);
        worker.connections.fetch_add(1, Ordering::Relaxed);
        Seat {
            worker: Arc::clone(worker),
            _connection: self.connections.add(),
        }
    }

    /// Returns how many connections are open.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.connections.count()
    }

    /// Waits until no connection is open.
    pub async fn no_connections(&self) {
        self.connections.none().await;
    }

    /// Returns the event loop of one worker, for a task that accepts connections.
    pub fn events(&self) -> &Handle {
        &self.in_turn().next().unwrap_or(&self.first).events
    }

    /// Waits until each worker has run a task: not for long, unless one hangs.
    pub async fn respond(&self) {
        for worker in iter::once(&self.first).chain(&self.others) {
            // This fails only when the workers end.
            let _ = worker.events.spawn(async {}).await;
        }
    }

    fn in_turn(&self) -> impl Iterator<Item = &Arc<Worker>> {
        let all = iter::once(&self.first).chain(&self.others);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % (1 + self.others.len());
        all.clone().skip(turn).chain(all.take(turn))
    }
}

impl Worker {
    fn start(number: usize, mut ended: watch::Receiver<bool>) -> Result<Arc<Self>, SystemError> {
        let runtime = event_loop()?;
        let worker = Arc::new(Self {
            events: runtime.handle().clone(),
            connections: AtomicUsize::new(0),
        });
        let thread = thread::Builder::new().name(format!("worker-{number}"));
        let work = move || {
            let work = AssertUnwindSafe(|| drop(runtime.block_on(ended.wait_for(|&ended| ended))));
            if panic::catch_unwind(work).is_err() {
                // Otherwise its connections would hang, and it would get new ones.
                log::error_now("a worker has ended by a bug, and the daemon with it");
                process::abort();
            }
            runtime.shutdown_background();
        };
        thread
            .spawn(work)
            .map_err(cannot("start a thread for connections"))?;
        Ok(worker)
    }
}

impl Seat {
    /// Returns the event loop of the worker.
    #[must_use]
    pub fn events(&self) -> &Handle {
        &self.worker.events
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.worker.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use tokio::runtime::Builder;
    use tokio::time::timeout;

    use super::*;

    fn id(seat: &Seat) -> tokio::runtime::Id {
        seat.events().id()
    }

    #[test]
    fn connections_are_spread_evenly_and_places_come_back() {
        let workers = Workers::start(3).unwrap();
        let mut seats: Vec<_> = (0..6).map(|_| workers.seat()).collect();
        let threads: HashSet<_> = seats.iter().take(3).map(id).collect();
        assert_eq!(threads.len(), 3);
        let freed = id(&seats[0]);
        seats.retain(|seat| id(seat) != freed);
        let next = [workers.seat(), workers.seat()];
        assert!(next.iter().all(|seat| id(seat) == freed));
    }

    #[tokio::test]
    async fn they_respond_unless_one_hangs() {
        let workers = Workers::start(2).unwrap();
        workers.respond().await;
        let (go_on, hangs) = std::sync::mpsc::channel::<()>();
        workers.events().spawn(async move { hangs.recv() });
        let soon = Duration::from_millis(50);
        timeout(soon, workers.respond()).await.unwrap_err();
        drop(go_on);
        workers.respond().await;
    }

    #[test]
    fn what_they_serve_ends_with_them() {
        let workers = Workers::start(0).unwrap();
        let seat = workers.seat();
        let served = seat.events().spawn(std::future::pending::<()>());
        workers.end();
        let ended = Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(served);
        assert!(ended.unwrap_err().is_cancelled());
    }
}
