//! Sealing or opening beside reading and writing, so that a stream of bulk data is not bound to one
//! processor.
//!
//! A stream hands batches to a spare thread and takes them back in order: one at a time is worked on.
//! What no thread has begun when the stream wants it, the stream does itself. So where no processor
//! is free, nothing waits for one.

mod pace;
mod threads;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use spiped_proto::{Error, Opener, Progress, Sealer};

use crate::buffer::Buffer;

pub(crate) use pace::{BULK_READ, Pace};

/// How many batches may be out.
const DEPTH: usize = 3;
/// Who waits is woken once so few batches still wait: then there are several to write at once, and
/// the thread has one more to go on with, so neither sleeps and wakes for each batch.
const LOW: usize = 1;

/// What is done to a batch.
pub(crate) trait Stage: fmt::Debug + Send + 'static {
    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress, Error>;
}

impl Stage for Sealer {
    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress, Error> {
        self.seal(input, output)
    }
}

impl Stage for Opener {
    fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress, Error> {
        self.open(input, output)
    }
}

#[derive(Debug)]
pub(crate) struct Batch {
    input: Buffer,
    pub(crate) output: Buffer,
    /// What went wrong after that output.
    pub(crate) result: Result<(), Error>,
}

impl Batch {
    fn new(input: Buffer) -> Self {
        let mut output = Buffer::default();
        // Now, as both buffers come from this thread's pool and go back to it.
        output.room();
        Self {
            input,
            output,
            result: Ok(()),
        }
    }

    fn run(&mut self, stage: &mut impl Stage) {
        let mut input = self.input.filled();
        while self.result.is_ok() && !input.is_empty() {
            match stage.run(input, self.output.room()) {
                Ok(Progress { consumed: 0, .. }) => return,
                Ok(progress) => {
                    self.output.fill(progress.produced);
                    input = input.split_at(progress.consumed).1;
                }
                Err(error) => self.result = Err(error),
            }
        }
    }
}

/// A stage, and the batches that are out for it.
#[derive(Debug)]
pub(crate) struct Pipeline<S: Stage> {
    /// At home while no batch is out.
    stage: Option<S>,
    shared: Option<Arc<Shared<S>>>,
    out: usize,
}

impl<S: Stage> Pipeline<S> {
    pub(crate) fn new(stage: S) -> Self {
        Self {
            stage: Some(stage),
            shared: None,
            out: 0,
        }
    }

    /// The stage, to be used at once.
    ///
    /// # Errors
    ///
    /// It is not at home, or a bug in it has lost it.
    pub(crate) fn stage(&mut self) -> io::Result<&mut S> {
        self.stage.as_mut().ok_or_else(lost)
    }

    /// The stage, unless batches are out.
    pub(crate) fn at_home(&self) -> Option<&S> {
        self.stage.as_ref()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.out >= DEPTH
    }

    /// Hands a batch to whoever comes first: a spare thread, or the caller of
    /// [`poll_pop`](Self::poll_pop).
    pub(crate) fn push(&mut self, input: Buffer) {
        let shared = self.shared.get_or_insert_default();
        let mut state = shared.lock();
        if let Some(stage) = self.stage.take() {
            state.stage = Some(stage);
        }
        state.waiting.push_back(Batch::new(input));
        self.out += 1;
        shared.offer(state);
    }

    /// Waits for the oldest batch that is out, or works on it; `None` if none is out.
    pub(crate) fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Batch>>> {
        let Some(shared) = self.shared.as_ref().filter(|_| self.out > 0) else {
            return Poll::Ready(None);
        };
        let popped = ready!(shared.poll_pop(cx));
        if popped.is_ok() {
            self.popped();
        }
        Poll::Ready(Some(popped))
    }

    /// The oldest batch that is out, if it is done.
    pub(crate) fn pop_done(&mut self) -> Option<Batch> {
        let batch = self.shared.as_ref()?.lock().done.pop_front()?;
        self.popped();
        Some(batch)
    }

    /// Has the stage back at home after the last batch. One that is lost stays so.
    fn popped(&mut self) {
        self.out -= 1;
        if self.out == 0 {
            let shared = self.shared.take();
            self.stage = shared.and_then(|shared| shared.lock().stage.take());
        }
    }
}

impl<S: Stage> Drop for Pipeline<S> {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.lock().waiting.clear();
        }
    }
}

fn lost() -> io::Error {
    io::Error::other("a batch of packets was lost")
}

#[derive(Debug)]
struct Shared<S>(Mutex<State<S>>);

#[derive(Debug)]
struct State<S> {
    /// Away while somebody works; at home whenever all that is out is done.
    stage: Option<S>,
    waiting: VecDeque<Batch>,
    done: VecDeque<Batch>,
    /// Who waits for a batch that a thread has begun.
    waker: Option<Waker>,
    /// Whether a thread will have a look.
    offered: bool,
    /// The stage was lost to a panic.
    lost: bool,
}

impl<S> State<S> {
    /// What to work on next, unless somebody does already.
    fn begin(&mut self) -> Option<(S, Batch)> {
        let stage = self.stage.take_if(|_| !self.waiting.is_empty())?;
        Some((stage, self.waiting.pop_front()?))
    }

    /// Whether who waits had better take what is done, and bring more.
    fn is_low(&self) -> bool {
        self.waiting.len() <= LOW || self.lost
    }
}

impl<S> Default for Shared<S> {
    fn default() -> Self {
        Self(Mutex::new(State {
            stage: None,
            waiting: VecDeque::with_capacity(DEPTH),
            done: VecDeque::with_capacity(DEPTH),
            waker: None,
            offered: false,
            lost: false,
        }))
    }
}

impl<S: Stage> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, State<S>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks a spare thread to have a look, unless one will anyway.
    fn offer(self: &Arc<Self>, mut state: MutexGuard<'_, State<S>>) {
        if state.stage.is_some() && !state.waiting.is_empty() && !state.offered {
            state.offered = true;
            drop(state);
            let job: Arc<Self> = Arc::clone(self);
            if !threads::offer(job) {
                self.lock().offered = false;
            }
        }
    }

    fn poll_pop(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<io::Result<Batch>> {
        let mut state = self.lock();
        if let Some(batch) = state.done.pop_front() {
            return Poll::Ready(Ok(batch));
        }
        if let Some((mut stage, mut batch)) = state.begin() {
            drop(state);
            batch.run(&mut stage);
            state = self.lock();
            state.stage = Some(stage);
            self.offer(state);
            return Poll::Ready(Ok(batch));
        }
        if state.lost {
            return Poll::Ready(Err(lost()));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<S: Stage> threads::Job for Shared<S> {
    fn run(&self) {
        let mut state = self.lock();
        state.offered = false;
        while let Some((mut stage, mut batch)) = state.begin() {
            drop(state);
            let worked = panic::catch_unwind(AssertUnwindSafe(move || {
                batch.run(&mut stage);
                (stage, batch)
            }));
            state = self.lock();
            // A bug must not cost others the thread; who waits learns of it.
            match worked {
                Ok((stage, batch)) => {
                    state.stage = Some(stage);
                    state.done.push_back(batch);
                }
                Err(_) => state.lost = true,
            }
            if state.is_low()
                && let Some(waker) = state.waker.take()
            {
                drop(state);
                waker.wake();
                state = self.lock();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::mpsc::{self, Receiver, Sender};
    use std::time::Duration;

    use super::*;

    /// Copies, and adds the number of the batch. Tells of each that it begins, and waits for leave.
    #[derive(Debug)]
    struct Copier {
        number: u8,
        begun: Sender<u8>,
        leave: Receiver<()>,
    }

    impl Stage for Copier {
        fn run(&mut self, input: &[u8], output: &mut [u8]) -> Result<Progress, Error> {
            let _ = self.begun.send(self.number);
            let _ = self.leave.recv();
            assert_ne!(input, b"panic");
            let len = input.len().min(output.len() - 1);
            output[..len].copy_from_slice(&input[..len]);
            output[len] = self.number;
            self.number += 1;
            Ok(Progress {
                consumed: len,
                produced: len + 1,
            })
        }
    }

    fn copier() -> (Pipeline<Copier>, Receiver<u8>, Sender<()>) {
        let ((begun, begins), (leaves, leave)) = (mpsc::channel(), mpsc::channel());
        let copier = Copier {
            number: 0,
            begun,
            leave,
        };
        (Pipeline::new(copier), begins, leaves)
    }

    fn buffer(data: &[u8]) -> Buffer {
        let mut buffer = Buffer::default();
        buffer.room()[..data.len()].copy_from_slice(data);
        buffer.fill(data.len());
        buffer
    }

    async fn pop<S: Stage>(pipeline: &mut Pipeline<S>) -> io::Result<Vec<u8>> {
        let popped = poll_fn(|cx| pipeline.poll_pop(cx)).await;
        popped.unwrap().map(|batch| batch.output.filled().to_vec())
    }

    #[tokio::test]
    async fn without_threads_the_owner_does_all_work_in_order() {
        let shared: Arc<Shared<Copier>> = Arc::default();
        let (mut pipeline, _, leaves) = copier();
        // Nobody looks at what is offered already.
        shared.lock().offered = true;
        pipeline.shared = Some(shared);
        for data in [b"a", b"b", b"c"] {
            leaves.send(()).unwrap();
            pipeline.push(buffer(data));
        }
        assert!(
            pipeline.is_full() && pipeline.at_home().is_none() && pipeline.pop_done().is_none()
        );
        for expected in [b"a\0", b"b\x01", b"c\x02"] {
            assert_eq!(pop(&mut pipeline).await.unwrap(), expected);
        }
        assert!(pipeline.at_home().is_some());
    }

    #[tokio::test]
    async fn a_thread_does_one_after_the_other_and_wakes_who_waits() {
        let _pace = Pace::helped();
        let (mut pipeline, begins, leaves) = copier();
        for round in (0..60).step_by(DEPTH) {
            for data in [b"a", b"b", b"c"] {
                pipeline.push(buffer(data));
            }
            begins.recv().unwrap();
            for _ in 0..DEPTH {
                leaves.send(()).unwrap();
            }
            for (number, expected) in (round..).zip([b'a', b'b', b'c']) {
                assert_eq!(pop(&mut pipeline).await.unwrap(), [expected, number]);
            }
            assert_eq!(pipeline.stage().unwrap().number, round + 3);
            while begins.try_recv().is_ok() {}
        }
    }

    #[tokio::test]
    async fn a_panic_on_a_thread_is_an_error_here_and_costs_nobody_else_the_thread() {
        let _pace = Pace::helped();
        for _ in 0..5 {
            let (mut pipeline, begins, leaves) = copier();
            pipeline.push(buffer(b"panic"));
            begins.recv().unwrap();
            pipeline.push(buffer(b"never"));
            leaves.send(()).unwrap();
            for _ in 0..2 {
                assert_eq!(
                    pop(&mut pipeline).await.unwrap_err().to_string(),
                    lost().to_string()
                );
                assert!(pipeline.stage().is_err() && pipeline.at_home().is_none());
            }
        }
    }

    #[tokio::test]
    async fn what_waits_is_never_begun_once_the_stream_is_gone() {
        let _pace = Pace::helped();
        let (mut pipeline, begins, leaves) = copier();
        pipeline.push(buffer(b"begun"));
        assert_eq!(begins.recv(), Ok(0));
        pipeline.push(buffer(b"waits"));
        drop(pipeline);
        leaves.send(()).unwrap();
        // The stage is gone with all that it could tell.
        let ended = begins.recv_timeout(Duration::from_secs(30));
        assert_eq!(ended, Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
