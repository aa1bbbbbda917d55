//! A thread for work that may block for ever, such as reading a file. It is started early, while the system
//! has threads to give. Work that its caller gives up keeps the thread, and the next work gets a new one.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use tokio::sync::oneshot;

use crate::os::os_error::os_error;

type Work = Box<dyn FnOnce() + Send>;

/// A thread that does blocking work. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct BlockingThread {
    name: &'static str,
    /// The channel to the thread; `None` while it works.
    idle: Arc<Mutex<Option<mpsc::Sender<Work>>>>,
}

impl BlockingThread {
    /// Starts the thread under a name.
    ///
    /// # Errors
    ///
    /// The system refuses a thread.
    pub(super) fn start(name: &'static str) -> io::Result<Self> {
        let idle = Arc::new(Mutex::new(Some(spawn(name)?)));
        Ok(Self { name, idle })
    }

    /// Has the thread do `work`, and returns its outcome. If the thread is at work already, or blocked by
    /// work whose future was dropped, another thread is started.
    ///
    /// # Errors
    ///
    /// The system refuses a thread, or the work panics.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let (done, outcome) = oneshot::channel();
        let work: Work = Box::new(move || drop(done.send(work())));
        let idle = self.take();
        let thread = match idle {
            Some(thread) => thread,
            None => spawn(self.name)?,
        };
        thread.send(work).map_err(|_| ended())?;
        let outcome = outcome.await.map_err(|_| ended())?;
        *self.lock() = Some(thread);
        Ok(outcome)
    }

    fn take(&self) -> Option<mpsc::Sender<Work>> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<mpsc::Sender<Work>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the error of work that panicked; the panic itself has been logged.
fn ended() -> io::Error {
    io::Error::other("the thread has ended by a bug")
}

fn spawn(name: &'static str) -> io::Result<mpsc::Sender<Work>> {
    let (sender, receiver) = mpsc::channel::<Work>();
    let thread = thread::Builder::new().name(name.to_owned());
    let spawned = thread.spawn(move || receiver.into_iter().for_each(|work| work()));
    spawned.map_err(|error| {
        let why = os_error(&error);
        io::Error::other(format!("no thread to be had: {why}"))
    })?;
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn id() -> thread::ThreadId {
        thread::current().id()
    }

    #[tokio::test]
    async fn one_thread_does_all_work() {
        let apart = BlockingThread::start("apart").unwrap();
        let first = apart.run(id).await.unwrap();
        assert_ne!(first, id());
        assert_eq!(apart.run(id).await.unwrap(), first);
    }

    #[tokio::test]
    async fn what_blocks_holds_up_nothing_after_it_and_ends_with_its_thread() {
        let apart = BlockingThread::start("apart").unwrap();
        let (go_on, blocks) = mpsc::channel::<()>();
        let blocked = apart.run(move || blocks.recv());
        let soon = Duration::from_millis(20);
        tokio::time::timeout(soon, blocked).await.unwrap_err();
        let second = apart.run(id).await.unwrap();
        assert_eq!(apart.run(id).await.unwrap(), second);
        drop(go_on);
    }

    #[tokio::test]
    async fn a_panic_costs_one_work_and_one_thread() {
        let apart = BlockingThread::start("apart").unwrap();
        let panicked = apart.run(|| panic!("on purpose")).await;
        assert!(panicked.unwrap_err().to_string().contains("bug"));
        apart.run(id).await.unwrap();
    }
}
