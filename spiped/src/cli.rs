#![forbid(unsafe_code)]

//! The command lines of `spiped` and `spipe`: from arguments to options, or to what to print.
//!
//! Addresses, users and files come out as they were typed; the rooms that use them check them. Only
//! [`Exit::print`] prints, and nothing here exits or opens a file.

mod arguments;
mod command;
mod options;
mod order;
mod refusal;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod text;

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Command, FromArgMatches};

pub use crate::config::settings::PipeOptions;
use crate::os::std_streams;
use arguments::{ClientArgs, SpipedArgs};
pub use command::{spipe_command, spiped_command};
use options::Refusal;
pub use options::{Pipes, SpipeOptions, SpipedCommand, SpipedOptions};
use order::End;

/// What a program prints, and its exit status, when its command line alone ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The text, its last line ended.
    pub text: String,
    /// The stream that it is printed to.
    pub stream: Stream,
    /// The exit status: 0 for the version and the help, 1 for a wrong command line.
    pub code: u8,
}

/// The stream that a text is printed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Exit {
    /// Prints the text, and returns the exit status, which is the same if the stream is closed.
    #[must_use]
    pub fn print(&self) -> ExitCode {
        match self.stream {
            Stream::Stdout => std_streams::print(&self.text),
            Stream::Stderr => std_streams::print_error(&self.text),
        }
        ExitCode::from(self.code)
    }
}

/// Reads the arguments of `spiped`, without the program's name.
///
/// # Errors
///
/// `--help`, `--version`, or a reason and the usage.
///
/// ```
/// use spiped::cli::{SpipedCommand, parse_spiped};
///
/// let args = ["-dF", "-s", "[::]:8025", "-t", "/run/redis.sock", "-k/etc/redis.key"];
/// let Ok(SpipedCommand::Run(options)) = parse_spiped(args.map(Into::into)) else {
///     panic!("this is a right command line");
/// };
/// assert!(options.process.foreground);
/// ```
pub fn parse_spiped(args: impl IntoIterator<Item = OsString>) -> Result<SpipedCommand, Exit> {
    parse::<SpipedArgs, _>(spiped_command(), args)
}

/// Reads the arguments of `spipe`, without the program's name.
///
/// # Errors
///
/// `--help`, `--version`, or a reason and the usage.
pub fn parse_spipe(args: impl IntoIterator<Item = OsString>) -> Result<SpipeOptions, Exit> {
    parse::<ClientArgs, _>(spipe_command(), args)
}

/// Reads the arguments `A` of `command`, and makes options of them.
fn parse<A, T>(mut command: Command, args: impl IntoIterator<Item = OsString>) -> Result<T, Exit>
where
    A: FromArgMatches,
    T: TryFrom<A, Error = Refusal>,
{
    let (args, end) = order::ordered(&command, args);
    let first = args.first().cloned();
    let matches = command.try_get_matches_from_mut(args);
    let parsed = match matches.and_then(|mut matches| A::from_arg_matches_mut(&mut matches)) {
        Ok(parsed) => parsed,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => return Err(help(&error)),
        Err(error) => {
            let used = used(&command, first.as_deref());
            return Err(wrong(&command, used, &refusal::reason(used, &error)));
        }
    };
    match end {
        None => T::try_from(parsed).map_err(|refusal| {
            let used = used(&command, first.as_deref());
            wrong(&command, used, &refusal::late(used, refusal))
        }),
        Some(End::Help) => Err(help(&command.render_help())),
        Some(End::Version) => Err(Exit {
            text: command.render_version(),
            stream: Stream::Stderr,
            code: 0,
        }),
        Some(End::UnknownShort(short)) => Err(wrong(
            &command,
            &command,
            &format!("unknown option -{short}"),
        )),
        Some(End::Operand(operand)) => {
            let mut reason = format!("unexpected argument {operand:?}");
            // Only the first argument can have been meant to say what to do.
            if let Some(meant) = first
                .is_none()
                .then(|| refusal::meant(&command, &operand))
                .flatten()
            {
                reason.push_str(&format!(" (did you mean {meant}?)"));
            }
            Err(wrong(&command, &command, &reason))
        }
    }
}

/// Returns the command whose usage is shown for a mistake: the subcommand, if the first argument is one.
fn used<'c>(command: &'c Command, first: Option<&OsStr>) -> &'c Command {
    let subcommand = first.and_then(|name| command.find_subcommand(name));
    subcommand.unwrap_or(command)
}

fn help(text: &impl ToString) -> Exit {
    Exit {
        text: text.to_string(),
        stream: Stream::Stdout,
        code: 0,
    }
}

/// Makes the exit for a mistake: its reason in one line, with control characters escaped, and the usage.
fn wrong(program: &Command, used: &Command, reason: &str) -> Exit {
    let mut text = format!("{}: ", program.get_name());
    for character in reason.chars() {
        match character.is_control() {
            true => text.extend(character.escape_default()),
            false => text.push(character),
        }
    }
    let usage = used.get_overridden_usage().map(ToString::to_string);
    text.push_str("\nusage: ");
    text.push_str(&usage.unwrap_or_default());
    text.push('\n');
    Exit {
        text,
        stream: Stream::Stderr,
        code: 1,
    }
}
