//! One line an event, to standard error or to syslog, without ever making a connection wait.
//!
//! Until [`start`] each line is written at once, to standard error or to what [`open`] has chosen.
//! From then on lines pass through a bounded queue to a thread of their own. A full pipe, a full disk or a dead syslog daemon
//! stalls that thread alone; what finds no room is counted, and the count is logged when lines get
//! through again. Lines that a stranger can cause come in [`Class`]es, each with a rate limit.
//! Control characters in a line are escaped, so that no name from outside forges another line.

mod limit;
mod line;
mod sink;
mod writer;

use std::fmt;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

pub use limit::Class;
use line::Line;
use sink::Sink;
use writer::Log;

/// How grave a line is; syslog gets it as the priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The daemon cannot do what it is there for.
    Error,
    /// A connection failed, or something is unwise.
    Warning,
    /// What the daemon does by itself or is asked to do.
    Notice,
    /// A connection went as it should.
    Info,
}

/// Where lines go once the daemon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// Standard error, each line begun with the program's name.
    Stderr,
    /// The local syslog daemon, as facility `daemon`.
    Syslog,
}

static LOG: Log = Log::new();
/// Lines that are less grave are not written.
static LEVEL: AtomicU8 = AtomicU8::new(Level::Notice as u8);
static PROGRAM: OnceLock<&str> = OnceLock::new();

/// Sets the name that lines begin with, which is otherwise `spiped`. The first call counts.
pub fn set_program(name: &'static str) {
    PROGRAM.get_or_init(|| name);
}

/// Chooses how grave a line has to be; [`Level::Notice`] unless this is called.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

fn is_wanted(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

fn program() -> &'static str {
    PROGRAM.get().unwrap_or(&"spiped")
}

/// Chooses where lines go from now on. They are still written at once, by whoever logs; one that
/// standard error has no room for is lost and counted.
///
/// A syslog daemon that cannot be reached now is reported on standard error, and tried again with
/// every line.
pub fn open(destination: Destination) {
    LOG.open(match destination {
        Destination::Stderr => Sink::stderr(),
        Destination::Syslog => Sink::syslog().unwrap_or_else(|(sink, error)| {
            warning_now(format_args!(
                "syslog is out of reach: {}",
                crate::reason::reason(&error)
            ));
            sink
        }),
    });
}

/// Starts the queue and its writer, a thread; call it after the fork.
///
/// # Errors
///
/// The log runs already, or the system refuses a thread.
pub fn start() -> io::Result<()> {
    LOG.start()
}

/// Writes out what is queued and ends the log, waiting for at most `patience`; says whether all of
/// it was written. Later lines are lost.
pub fn finish(patience: Duration) -> bool {
    LOG.finish(patience)
}

/// How many lines were lost so far because they could not be written. Lines held back by a rate
/// limit are not among them.
#[must_use]
pub fn lost() -> u64 {
    LOG.lost()
}

/// Logs an error.
pub fn error(class: Class, message: fmt::Arguments<'_>) {
    LOG.write(Level::Error, class, message);
}

/// Logs a warning.
pub fn warning(class: Class, message: fmt::Arguments<'_>) {
    LOG.write(Level::Warning, class, message);
}

/// Logs what the daemon does.
pub fn notice(class: Class, message: fmt::Arguments<'_>) {
    LOG.write(Level::Notice, class, message);
}

/// Logs what went as it should.
pub fn info(class: Class, message: fmt::Arguments<'_>) {
    LOG.write(Level::Info, class, message);
}

/// Writes a start-up error to standard error at once, whatever state the log is in.
pub fn error_now(message: impl fmt::Display) {
    now(Level::Error, &message);
}

/// Writes a warning to standard error at once, whatever state the log is in.
pub fn warning_now(message: impl fmt::Display) {
    now(Level::Warning, &message);
}

fn now(level: Level, message: &dyn fmt::Display) {
    // Nobody is left to be told that standard error fails.
    let _ = Sink::stderr().write(&Line::new(level, format_args!("{message}")));
}
