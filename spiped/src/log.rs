#![forbid(unsafe_code)]

//! Writes one line for each event to standard error, syslog or the journal. No connection ever waits for it.
//!
//! A line has a text for people, and [`Fields`] for programs, which JSON and the journal keep. Until
//! [`start`] is called, each line is written at once, to standard error or to the destination of [`open`].
//! From then on a bounded queue passes lines to a thread that writes them. A full pipe, a full disk or a dead
//! syslog daemon stalls that thread alone. Lines that find no room are lost and counted, and the count is
//! logged when lines get through again. Each [`Class`] of lines that a stranger can cause has a rate limit.
//! Control characters in a line are escaped, so that no name from outside can forge another line.

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
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use crate::os::daemonize;
use crate::os::system_error::{SystemError, cannot};
pub(crate) use coded_enum::coded_enum;
pub use fields::Fields;
pub use limit::Class;
use line::Line;
use sink::Sink;
use writer::Log;

/// The number of the facility `daemon` of syslog (RFC 3164 section 4.1.1).
const FACILITY_DAEMON: u8 = 3;

/// The severity of a line, which syslog and the journal get as the priority.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The daemon cannot do its work.
    Error,
    /// A connection failed, or a setting is unwise.
    Warning,
    /// The daemon did something, by itself or because it was asked to.
    #[default]
    Notice,
    /// A connection ended well, or its peer never used it.
    Info,
}

impl Level {
    /// Returns the severity's number in syslog (RFC 3164 section 4.1.1).
    fn severity(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Warning => 4,
            Self::Notice => 5,
            Self::Info => 6,
        }
    }
}

/// Writes the level in one word.
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

/// The destination of lines once the daemon runs, and their form.
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

/// Writes the destination in one word.
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

/// The time for the last lines to be written, when the program ends.
pub const LAST_LINES: Duration = Duration::from_secs(1);

static LOG: Log = Log::new();
/// The level of [`set_level`]; less severe lines are not written.
static LEVEL: AtomicU8 = AtomicU8::new(Level::Notice as u8);
static JSON: AtomicBool = AtomicBool::new(false);
/// Whether the destination is another one than standard error.
static IS_APART: AtomicBool = AtomicBool::new(false);
static PIPES: AtomicBool = AtomicBool::new(false);
static PROGRAM: OnceLock<&str> = OnceLock::new();

/// Sets the name of the program, with which lines begin; otherwise it is `spiped`. Only the first call has an
/// effect.
pub fn set_program(name: &'static str) {
    PROGRAM.get_or_init(|| name);
}

/// Sets the least severe level that is written; [`Level::Notice`] unless this is called.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

fn is_wanted(level: Level) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}

/// Writes each line on standard error as a JSON object, also the lines of [`error_now`] and [`warning_now`].
pub fn set_json() {
    JSON.store(true, Ordering::Relaxed);
}

fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// Begins each line about a pipe with the pipe's name, the field `pipe`. Call it in a process that may have
/// several pipes.
pub fn show_pipes() {
    PIPES.store(true, Ordering::Relaxed);
}

fn shows_pipes() -> bool {
    PIPES.load(Ordering::Relaxed)
}

fn program() -> &'static str {
    PROGRAM.get().unwrap_or(&"spiped")
}

/// Sets the destination of lines from now on. The thread that logs a line still writes it at once; a line for
/// which standard error has no room is lost and counted.
///
/// If syslog or the journal cannot be reached now, that is reported on standard error, and each line tries
/// again.
pub fn open(destination: Destination) {
    let is_apart = matches!(destination, Destination::Syslog | Destination::Journal);
    IS_APART.store(is_apart, Ordering::Relaxed);
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

/// Whether systemd's journal can be reached now.
#[must_use]
pub fn has_journal() -> bool {
    Sink::journal().is_ok()
}

/// Whether syslog can be reached now.
#[must_use]
pub fn has_syslog() -> bool {
    Sink::syslog().is_ok()
}

/// Starts the queue and the thread that writes. Call it after the fork.
///
/// # Errors
///
/// The log runs already, or the system refuses a thread.
pub fn start() -> Result<(), SystemError> {
    LOG.start()
        .map_err(cannot("start the thread that writes the log"))
}

/// Writes the lines that are queued and ends the log. Waits for at most `patience`, and returns whether all
/// lines were written. Later lines are lost.
pub fn finish(patience: Duration) -> bool {
    LOG.finish(patience)
}

/// Returns how many lines were lost so far because they could not be written. Lines that a rate limit held
/// back are not counted.
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

/// Logs an action of the daemon.
pub fn notice(class: Class, message: fmt::Arguments<'_>) {
    event(Level::Notice, class, message, |_| {});
}

/// Logs a line with fields. Its text and fields are made only if the line is written.
pub fn event(
    level: Level,
    class: Class,
    message: fmt::Arguments<'_>,
    fields: impl FnOnce(&mut Fields),
) {
    LOG.write(level, class, message, fields);
}

/// Logs each panic as an error of one line from now on. Does nothing if `RUST_BACKTRACE` is set, as the
/// panic is then printed with its backtrace.
pub fn take_panics() {
    if std::env::var_os("RUST_BACKTRACE").is_some() {
        return;
    }
    std::panic::set_hook(Box::new(|panic| match thread::current().name() {
        // The thread that writes may hold the lock of the log.
        Some(writer::THREAD) => error_now(panic),
        _ => error(Class::Panic, format_args!("a bug in spiped: {panic}")),
    }));
}

/// Writes the error that ends the program, and ends the log. The lines go to standard error, and to syslog or
/// the journal if that is the destination of [`open`], as nobody may see standard error then.
pub fn fatal(lines: &[String]) {
    let is_apart = IS_APART.load(Ordering::Relaxed);
    for line in lines {
        if !(is_apart && daemonize::stderr_is_journal()) {
            error_now(line);
        }
        if is_apart {
            error(Class::Daemon, format_args!("{line}"));
        }
    }
    finish(LAST_LINES);
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
    // There is no other place to report that standard error fails.
    let line = Line::new(level, Class::Daemon, format_args!("{message}"), |_| {});
    let _ = Sink::stderr().write(&line);
}
