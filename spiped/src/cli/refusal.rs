//! Makes one line for people of an error of clap, or of a [`Refusal`].

use std::ffi::OsStr;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Error};

use super::options::Refusal;
use crate::config::options::Exclusive;

/// The likeness (Jaro-Winkler) above which a word is suggested for another. clap takes 0.7.
const ALIKE: f64 = 0.8;

/// Returns the reason why clap refuses the arguments of `command`.
pub(super) fn reason(command: &Command, error: &Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        Some(ContextValue::Strings(texts)) => texts.first().map_or("", String::as_str),
        _ => "",
    };
    let invalid = text(ContextKind::InvalidArg);
    let option = shown(command, invalid);
    match error.kind() {
        ErrorKind::UnknownArgument if invalid.starts_with('-') => {
            let suggested = text(ContextKind::SuggestedArg);
            match suggested.is_empty() {
                true => format!("unknown option {invalid}"),
                false => format!("unknown option {invalid} (did you mean {suggested}?)"),
            }
        }
        ErrorKind::UnknownArgument => format!("unexpected argument {invalid:?}"),
        ErrorKind::ArgumentConflict => {
            let prior = shown(command, text(ContextKind::PriorArg));
            match prior == option {
                true => format!("{option} is given twice"),
                false => exclude_each_other(&option, &prior),
            }
        }
        ErrorKind::ValueValidation => match std::error::Error::source(error) {
            Some(source) => format!("{option}: {source}"),
            None => format!(
                "{option}: wrong value {:?}",
                text(ContextKind::InvalidValue)
            ),
        },
        ErrorKind::InvalidValue => match (text(ContextKind::InvalidValue), choices(error)) {
            ("", _) => format!("{option} needs a value"),
            (given, choices) => format!("{option}: {given:?} is none of {choices}"),
        },
        ErrorKind::TooManyValues => format!("{option} takes no value"),
        ErrorKind::MissingRequiredArgument => format!("no {option} is given"),
        _ => first_line(error),
    }
}

/// Returns the reason why arguments of `command` are refused that clap accepts.
pub(super) fn late(command: &Command, refusal: Refusal) -> String {
    match refusal {
        Refusal::Missing(text) => text.to_owned(),
        Refusal::Exclusive(Exclusive(one, other)) => {
            let [one, other] = [one, other].map(|name| {
                let mut args = command.get_arguments();
                let arg = args.find(|arg| arg.get_long() == Some(name));
                arg.map_or_else(|| format!("--{name}"), label)
            });
            exclude_each_other(&one, &other)
        }
    }
}

/// Returns the option or the subcommand that `operand` was probably meant to be.
pub(super) fn meant(command: &Command, operand: &OsStr) -> Option<String> {
    let given = operand.to_str()?;
    let program = command.get_name();
    let mut options = command.get_arguments().filter_map(Arg::get_long);
    if options.any(|long| long == given) {
        return Some(format!("{program} --{given}"));
    }
    let commands = command.get_subcommands().map(Command::get_name);
    let alike = commands.map(|name| (strsim::jaro_winkler(given, name), name));
    let (likeness, name) = alike.max_by(|one, other| one.0.total_cmp(&other.0))?;
    (likeness > ALIKE).then(|| format!("{program} {name}"))
}

fn exclude_each_other(one: &str, other: &str) -> String {
    format!("{one} and {other} exclude each other")
}

/// Returns the values that an option takes, with commas in between; nothing if it takes any value.
fn choices(error: &Error) -> String {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) => values.join(", "),
        _ => String::new(),
    }
}

/// Returns an option by its names, `-s/--long`; clap calls it `--long <VALUE>`.
fn shown(command: &Command, name: &str) -> String {
    let mut args = command.get_arguments();
    match args.find(|arg| arg.to_string() == name) {
        Some(arg) => label(arg),
        None => name.to_owned(),
    }
}

fn label(arg: &Arg) -> String {
    match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => format!("-{short}/--{long}"),
        (None, Some(long)) => format!("--{long}"),
        _ => arg
            .get_value_names()
            .and_then(|names| names.first())
            .map_or_else(|| arg.get_id().to_string(), ToString::to_string),
    }
}

fn first_line(error: &Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
