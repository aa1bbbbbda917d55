#[cfg(target_os = "linux")]
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::sink::{Stream, plain};
use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a log that writes to `output`. It lives as long as the process, as the real log does.
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
    // These are more lines than the pipe and the queue hold together.
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

/// A disk, which is full while `full` is set.
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
    // The writer wakes by itself once no more lines come.
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
