//! The queue between those who log and the thread that writes.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Level;
use super::fields::Fields;
use super::limit::{Class, Limiter};
use super::line::Line;
use super::sink::Sink;

/// Lines that may wait for the writer, a few kilobytes each at most.
const QUEUE_MAX: usize = 1024;

/// The writer's name.
pub(super) const THREAD: &str = "log";

pub(super) struct Log {
    state: Mutex<State>,
    /// Something is queued or held back, or the log is to end.
    work: Condvar,
    /// The writer has ended.
    ended: Condvar,
}

struct State {
    stage: Stage,
    /// Where lines go; the writer's, once there is one. Standard error if nobody has chosen.
    sink: Option<Sink>,
    queue: VecDeque<Line>,
    limiter: Limiter,
    lost: u64,
    /// How many of the lost lines no line has told of yet.
    untold: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No writer yet: whoever logs writes.
    Direct,
    Queued,
    /// The writer ends once the queue is empty.
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
            .spawn(move || self.run(sink))?;
        state.stage = Stage::Queued;
        Ok(())
    }

    /// Fields are asked for only if the line is to be written.
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
                // The writer waits without end while nothing is held back.
                self.work.notify_one();
            }
            return;
        }
        // The lock must not be held while text from elsewhere is formatted.
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

    fn run(&self, mut sink: Sink) {
        // Whether the last line got through.
        let mut healthy = true;
        let mut state = self.lock();
        loop {
            state.report_held_back();
            let untold = state.untold;
            // After a failure the count of lost lines goes first, and tries whether writing works
            // again. Otherwise it waits until what is queued has been written.
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

    /// Queues the counts that are due; they are few, so they may exceed the queue's bound.
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
mod tests {
    use std::fs::OpenOptions;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::sink::{Stream, plain};
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A log that writes to `output`. It lives as long as the process, as the real one does.
    fn started(output: impl Write + Send + 'static) -> &'static Log {
        let log = Box::leak(Box::new(Log::new()));
        log.open(Sink::Stream(Stream::new(Box::new(output), plain)));
        log.start().unwrap();
        log
    }

    fn warn(log: &Log, class: Class, text: &str) {
        log.write(Level::Warning, class, format_args!("{text}"), |_| {});
    }

    #[test]
    fn lines_arrive_in_order_and_finish_waits_for_them() {
        let (reader, writer) = io::pipe().unwrap();
        let log = started(writer);
        for number in 0..100 {
            warn(log, Class::Daemon, &number.to_string());
        }
        assert!(log.finish(PATIENCE));
        let expected: String = (0..100)
            .map(|number| format!("spiped: {number}\n"))
            .collect();
        let mut arrived = vec![0; expected.len()];
        BufReader::new(reader).read_exact(&mut arrived).unwrap();
        assert_eq!(String::from_utf8(arrived).unwrap(), expected);
        assert_eq!(log.lost(), 0);
    }

    #[test]
    fn the_log_starts_once() {
        let log = started(io::sink());
        log.start().unwrap_err();
    }

    #[test]
    fn lines_after_the_end_are_lost() {
        let log = started(io::sink());
        assert!(log.finish(PATIENCE));
        warn(log, Class::Daemon, "late");
        assert_eq!(log.lost(), 1);
    }

    #[test]
    fn a_full_pipe_stops_nobody_and_the_loss_is_told_later() {
        let (reader, writer) = io::pipe().unwrap();
        let log = started(writer);
        // More than the pipe and the queue hold together.
        let text = "x".repeat(900);
        let sent = 3 * QUEUE_MAX as u64;
        for _ in 0..sent {
            warn(log, Class::Daemon, &text);
        }
        let lost = log.lost();
        assert!(lost > QUEUE_MAX as u64, "{lost}");
        assert!(!log.finish(Duration::ZERO), "nobody has read the pipe");

        let line = format!("spiped: {text}");
        let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
        let whole = lines.by_ref().take_while(|next| *next == line).count() as u64;
        assert_eq!(whole, sent - lost);
    }

    #[test]
    fn the_number_of_lost_lines_is_logged_when_the_pipe_is_read_again() {
        let (reader, writer) = io::pipe().unwrap();
        let log = started(writer);
        let text = "x".repeat(900);
        let sent = 3 * QUEUE_MAX as u64;
        for _ in 0..sent {
            warn(log, Class::Daemon, &text);
        }
        let lost = log.lost();
        let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
        let told = lines.find(|line| !line.ends_with('x')).unwrap();
        assert_eq!(told, format!("spiped: {lost} log lines were lost"));
        warn(log, Class::Daemon, "all is well");
        assert_eq!(lines.next().unwrap(), "spiped: all is well");
        assert_eq!(log.lost(), lost);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_stops_nobody() {
        let log = started(OpenOptions::new().write(true).open("/dev/full").unwrap());
        for _ in 0..50 {
            warn(log, Class::Daemon, "is anybody there?");
        }
        assert!(
            log.finish(PATIENCE),
            "the writer goes on though each write fails"
        );
        assert_eq!(log.lost(), 50);
    }

    /// Fails as a full disk does while `full` is set.
    struct Disk {
        full: Arc<AtomicBool>,
        output: io::PipeWriter,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.full.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.output.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_disk_with_room_again_gets_the_count_first() {
        let (reader, output) = io::pipe().unwrap();
        let full = Arc::new(AtomicBool::new(true));
        let log = started(Disk {
            full: Arc::clone(&full),
            output,
        });
        for number in 1..=3 {
            warn(log, Class::Daemon, "lost");
            while log.lost() < number {
                thread::yield_now();
            }
        }
        full.store(false, Ordering::SeqCst);
        warn(log, Class::Daemon, "back");
        let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
        assert_eq!(lines.next().unwrap(), "spiped: 3 log lines were lost");
        assert_eq!(lines.next().unwrap(), "spiped: back");
    }

    #[test]
    fn a_storm_is_held_back_and_counted() {
        let (reader, writer) = io::pipe().unwrap();
        let log = started(writer);
        for _ in 0..5000 {
            warn(log, Class::Handshake, "handshake failed");
        }
        // The writer wakes by itself once the storm has ebbed.
        let lines = BufReader::new(reader).lines().map(Result::unwrap);
        let (mut written, mut held_back) = (0, 0);
        for line in lines {
            if line == "spiped: handshake failed" {
                written += 1;
            } else {
                let text = line.strip_prefix("spiped: ").unwrap();
                let (count, rest) = text.split_once(" more line").unwrap();
                assert!(
                    rest.ends_with("about failed handshakes held back"),
                    "{line}"
                );
                held_back += count.parse::<u64>().unwrap();
            }
            if written + held_back == 5000 {
                break;
            }
        }
        assert!(written >= 10 && held_back > 0, "{written} {held_back}");
        assert_eq!(log.lost(), 0);
    }

    #[test]
    fn what_is_held_back_is_told_at_the_end() {
        let (reader, writer) = io::pipe().unwrap();
        let log = started(writer);
        for _ in 0..11 {
            warn(log, Class::Dial, "refused");
        }
        assert!(log.finish(PATIENCE));
        let lines = BufReader::new(reader).lines().map(Result::unwrap);
        assert_eq!(
            lines.take(11).last().unwrap(),
            "spiped: 1 more line about failed connections to the target held back"
        );
    }
}
