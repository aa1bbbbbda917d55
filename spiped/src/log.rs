#![forbid(unsafe_code)]

//! One line an event, to standard error, syslog or the journal, without ever making a connection
//! wait.
//!
//! A line has a text for people and [`Fields`] for programs, which JSON and the journal keep. Until
//! [`start`] each line is written at once, to standard error or to what [`open`] has chosen. From
//! then on lines pass through a bounded queue to a thread of their own. A full pipe, a full disk or
//! a dead syslog daemon stalls that thread alone; what finds no room is counted, and the count is
//! logged when lines get through again. Lines that a stranger can cause come in [`Class`]es, each
//! with a rate limit. Control characters in a line are escaped, so that no name from outside forges
//! another line.

mod coded_enum;
mod datagrams;
mod fields;
mod journal;
mod json;
mod limit;
mod line;
mod sink;
mod text;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use crate::os::system_error::{SystemError, cannot};
pub(crate) use coded_enum::coded_enum;
pub use fields::Fields;
pub use limit::Class;
use line::Line;
use sink::Sink;
use writer::Log;

/// `LOG_DAEMON` (RFC 3164 section 4.1.1).
const FACILITY_DAEMON: u8 = 3;

/// How grave a line is; syslog and the journal get it as the priority.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The daemon cannot do what it is there for.
    Error,
    /// A connection failed, or something is unwise.
    Warning,
    /// What the daemon does by itself or is asked to do.
    #[default]
    Notice,
    /// A connection went as it should, or nobody wanted anything of it.
    Info,
}

impl Level {
    /// The number that syslog has for it (RFC 3164 section 4.1.1).
    fn severity(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warning => 4,
            Self::Notice => 5,
            Self::Info => 6,
        }
    }
}

/// In one word.
impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
        })
    }
}

/// Where lines go once the daemon runs, and in which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// Standard error, each line begun with the program's name.
    Stderr,
    /// Standard error, each line a JSON object.
    Json,
    /// The local syslog daemon, as facility `daemon`.
    Syslog,
    /// systemd's journal, fields included.
    Journal,
}

/// In one word.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stderr => "plain",
            Self::Json => "json",
            Self::Syslog => "syslog",
            Self::Journal => "journal",
        })
    }
}

static LOG: Log = Log::new();
/// Lines that are less grave are not written.
static LEVEL: AtomicU8 = AtomicU8::new(Level::Notice as u8);
static JSON: AtomicBool = AtomicBool::new(false);
static PIPES: AtomicBool = AtomicBool::new(false);
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

/// Makes each line on standard error a JSON object, also of [`error_now`] and [`warning_now`].
pub fn set_json() {
    JSON.store(true, Ordering::Relaxed);
}

fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// Has lines about a pipe begin with its name, which is the field `pipe`; for a process with
/// several.
pub fn show_pipes() {
    PIPES.store(true, Ordering::Relaxed);
}

fn shows_pipes() -> bool {
    PIPES.load(Ordering::Relaxed)
}

fn program() -> &'static str {
    PROGRAM.get().unwrap_or(&"spiped")
}

/// Chooses where lines go from now on. They are still written at once, by whoever logs; one that
/// standard error has no room for is lost and counted.
///
/// A daemon that cannot be reached now is reported on standard error, and tried again with every
/// line.
pub fn open(destination: Destination) {
    let (name, opened) = match destination {
        Destination::Stderr => ("standard error", Ok(Sink::stderr())),
        Destination::Json => {
            set_json();
            ("standard error", Ok(Sink::stderr()))
        }
        Destination::Syslog => ("syslog", Sink::syslog()),
        Destination::Journal => ("the journal", Sink::journal()),
    };
    LOG.open(opened.unwrap_or_else(|(sink, error)| {
        warning_now(format_args!(
            "{name} is out of reach: {}",
            crate::os::os_error::os_error(&error)
        ));
        sink
    }));
}

/// Whether lines could reach systemd's journal with their fields now.
#[must_use]
pub fn has_journal() -> bool {
    Sink::journal().is_ok()
}

/// Whether a syslog daemon has a socket where this system's does.
#[must_use]
pub fn has_syslog() -> bool {
    sink::SYSLOG_SOCKETS
        .iter()
        .any(|path| Path::new(path).exists())
}

/// Starts the queue and its writer, a thread; call it after the fork.
///
/// # Errors
///
/// The log runs already, or the system refuses a thread.
pub fn start() -> Result<(), SystemError> {
    LOG.start()
        .map_err(cannot("start the thread that writes the log"))
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
    event(Level::Error, class, message, |_| {});
}

/// Logs a warning.
pub fn warning(class: Class, message: fmt::Arguments<'_>) {
    event(Level::Warning, class, message, |_| {});
}

/// Logs what the daemon does.
pub fn notice(class: Class, message: fmt::Arguments<'_>) {
    event(Level::Notice, class, message, |_| {});
}

/// Logs a line with fields. Text and fields are made only if it is to be written.
pub fn event(
    level: Level,
    class: Class,
    message: fmt::Arguments<'_>,
    fields: impl FnOnce(&mut Fields),
) {
    LOG.write(level, class, message, fields);
}

/// Has a panic logged as an error of one line, in place of being printed; not with `RUST_BACKTRACE`
/// set, which asks for more than a line.
pub fn take_panics() {
    if std::env::var_os("RUST_BACKTRACE").is_some() {
        return;
    }
    std::panic::set_hook(Box::new(|panic| match thread::current().name() {
        // It may hold the lock of the log.
        Some(writer::THREAD) => error_now(panic),
        _ => error(Class::Panic, format_args!("a bug in spiped: {panic}")),
    }));
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
    let line = Line::new(level, Class::Daemon, format_args!("{message}"), |_| {});
    let _ = Sink::stderr().write(&line);
}
