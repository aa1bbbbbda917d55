//! The queue between the threads that log and the thread that writes.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Level;
use super::fields::Fields;
use super::limit::{Class, Limiter};
use super::line::Line;
use super::sink::Sink;

/// The most lines that wait for the writer; each has a few kilobytes at most.
const QUEUE_MAX: usize = 1024;

/// The name of the thread that writes, the writer.
pub(super) const THREAD: &str = "log";

pub(super) struct Log {
    state: Mutex<State>,
    /// Wakes the writer: a line was queued or held back, or the log is to end.
    work: Condvar,
    /// Wakes [`finish`](Self::finish): the writer has ended.
    ended: Condvar,
}

struct State {
    stage: Stage,
    /// The destination of lines before the writer starts, which takes it then; `None` is standard error.
    sink: Option<Sink>,
    queue: VecDeque<Line>,
    limiter: Limiter,
    lost: u64,
    /// The number of lost lines that no line of the log has reported yet.
    untold: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// There is no writer yet. The thread that logs a line writes it.
    Direct,
    Queued,
    /// The writer will end once the queue is empty.
    Ending,
    Ended,
}

impl Log {
    pub(super) const fn new() -> Self {
        Self {
            state: Mutex::new(State {
                stage: Stage::Direct,
                sink: None,
                queue: VecDeque::new(),
                limiter: Limiter::new(),
                lost: 0,
                untold: 0,
            }),
            work: Condvar::new(),
            ended: Condvar::new(),
        }
    }

    pub(super) fn open(&self, sink: Sink) {
        self.lock().sink = Some(sink);
    }

    pub(super) fn start(&'static self) -> io::Result<()> {
        let mut state = self.lock();
        if state.stage != Stage::Direct {
            return Err(io::Error::other("the log runs already"));
        }
        let sink = state.sink.take().unwrap_or_else(Sink::stderr);
        thread::Builder::new()
            .name(THREAD.to_owned())
            .spawn(move || self.run_on(sink))?;
        state.stage = Stage::Queued;
        Ok(())
    }

    /// Logs a line. `fields` adds its fields, and is called only if the line is written.
    pub(super) fn write(
        &self,
        level: Level,
        class: Class,
        message: fmt::Arguments<'_>,
        fields: impl FnOnce(&mut Fields),
    ) {
        if !super::is_wanted(level) {
            return;
        }
        let mut state = self.lock();
        if state.stage == Stage::Direct {
            drop(state);
            let line = Line::new(level, class, message, fields);
            self.lock().write_at_once(&line);
            return;
        }
        let quiet = state.limiter.next_due().is_none();
        if !state.limiter.admit(class, Instant::now()) {
            if quiet {
                // While no line was held back, the writer waited without a time limit.
                self.work.notify_one();
            }
            return;
        }
        // The lock must not be held here: code of other modules formats the text.
        drop(state);
        let line = Line::new(level, class, message, fields);
        let mut state = self.lock();
        if state.stage == Stage::Ended || state.queue.len() >= QUEUE_MAX {
            state.lose();
        } else {
            state.queue.push_back(line);
            self.work.notify_one();
        }
    }

    pub(super) fn finish(&self, patience: Duration) -> bool {
        let mut state = self.lock();
        if state.stage == Stage::Queued {
            state.stage = Stage::Ending;
            self.work.notify_one();
            let waited = self
                .ended
                .wait_timeout_while(state, patience, |state| state.stage != Stage::Ended);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let all_written = state.queue.is_empty() && state.stage != Stage::Ending;
        state.stage = Stage::Ended;
        all_written
    }

    pub(super) fn lost(&self) -> u64 {
        self.lock().lost
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each critical section leaves the state whole, even one that panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the writer, again after each panic, as otherwise no further line would be written.
    fn run_on(&self, mut sink: Sink) {
        while panic::catch_unwind(AssertUnwindSafe(|| self.run(&mut sink))).is_err() {
            self.lock().lose();
        }
    }

    fn run(&self, sink: &mut Sink) {
        // Whether the last line was written.
        let mut healthy = true;
        let mut state = self.lock();
        loop {
            state.report_held_back();
            let untold = state.untold;
            // After a failure the count of lost lines is written first, to find out whether writing works
            // again. Otherwise it is written once the queue is empty.
            if untold > 0 && healthy == state.queue.is_empty() {
                drop(state);
                healthy = sink.write(&lost_lines(untold)).is_ok();
                state = self.lock();
                if healthy {
                    state.untold -= untold;
                } else if state.queue.pop_front().is_some() {
                    state.lose();
                }
            } else if let Some(line) = state.queue.pop_front() {
                drop(state);
                healthy = sink.write(&line).is_ok();
                state = self.lock();
                if !healthy {
                    state.lose();
                }
            } else if matches!(state.stage, Stage::Ending | Stage::Ended) {
                break;
            } else {
                state = self.wait(state);
            }
        }
        state.stage = Stage::Ended;
        self.ended.notify_all();
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        match state.limiter.next_due() {
            None => self
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner),
            Some(due) => {
                let patience = due.saturating_duration_since(Instant::now());
                let waited = self.work.wait_timeout(state, patience);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }
}

impl State {
    fn write_at_once(&mut self, line: &Line) {
        let written = match &mut self.sink {
            None => Sink::stderr().write(line).is_ok(),
            Some(sink) => sink.has_room() && sink.write(line).is_ok(),
        };
        if !written {
            self.lose();
        }
    }

    fn lose(&mut self) {
        self.lost += 1;
        self.untold += 1;
    }

    /// Queues the counts of lines held back that are due. They are few, so the queue's bound is not checked.
    fn report_held_back(&mut self) {
        loop {
            let due = match self.stage {
                Stage::Ending => self.limiter.take_any(),
                _ => self.limiter.take_due(Instant::now()),
            };
            let Some((class, count)) = due else { break };
            let lines = if count == 1 { "line" } else { "lines" };
            let subject = class.subject();
            let text = format_args!("{count} more {lines} about {subject} held back");
            let level = class.summary_level();
            let line = Line::new(level, class, text, |fields| {
                fields.count("held_back", count);
            });
            self.queue.push_back(line);
        }
    }
}

fn lost_lines(count: u64) -> Line {
    let lines = if count == 1 {
        "log line was"
    } else {
        "log lines were"
    };
    let text = format_args!("{count} {lines} lost");
    Line::new(Level::Warning, Class::Daemon, text, |fields| {
        fields.count("lost", count);
    })
}

#[cfg(test)]
mod tests;
