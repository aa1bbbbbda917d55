//! What several of the command lines have, and what arguments of every kind are made with.

use std::ffi::OsString;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Arg, ArgAction, Command, ValueHint};

use super::super::text;
use crate::config::number;

pub(super) fn control() -> Arg {
    Arg::new("control")
        .long("control")
        .value_name("PATH")
        .value_parser(OsStringValueParser::new())
        .value_hint(ValueHint::FilePath)
}

pub(super) fn base(name: &'static str, about: &'static str) -> Command {
    Command::new(name)
        .about(about)
        .version(env!("CARGO_PKG_VERSION"))
        .no_binary_name(true)
        // `-h` is an unknown option in C spiped, and `help` an operand.
        .disable_help_flag(true)
        .disable_version_flag(true)
        .help_template("{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}")
        .term_width(79)
}

pub(super) fn flag(name: &'static str, short: Option<char>) -> Arg {
    let arg = Arg::new(name).long(name).action(ArgAction::SetTrue);
    match short {
        Some(short) => arg.short(short),
        None => arg,
    }
}

pub(super) fn option<V>(name: &'static str, short: char, value: &'static str, parser: V) -> Arg
where
    V: TypedValueParser,
    V::Value: Send + Sync + Clone,
{
    long_option(name, value, parser).short(short)
}

pub(super) fn long_option<V>(name: &'static str, value: &'static str, parser: V) -> Arg
where
    V: TypedValueParser,
    V::Value: Send + Sync + Clone,
{
    Arg::new(name)
        .long(name)
        .value_name(value)
        .value_parser(parser)
        .value_hint(ValueHint::Other)
}

/// A limit on how many there may be.
pub(super) fn count(name: &'static str) -> Arg {
    long_option(name, "MAX", utf8().try_map(|given| number::count(&given)))
}

pub(super) fn utf8() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().try_map(|given| {
        OsString::into_string(given).map_err(|given| format!("{given:?} is not valid UTF-8"))
    })
}

pub(super) fn target() -> Arg {
    option("target", 't', "ADDRESS", utf8())
        .help("Connect to here")
        .long_help(text::TARGET)
}

pub(super) fn key() -> Arg {
    option("key", 'k', "FILE", OsStringValueParser::new())
        .value_hint(ValueHint::FilePath)
        .help("The key file, same at both ends; - is standard input")
        .long_help(text::KEY)
}

pub(super) fn bind() -> Arg {
    option("bind", 'b', "ADDRESS", utf8())
        .help("Connect from this local address (port optional)")
        .long_help(text::BIND)
}

pub(super) fn fast() -> Arg {
    flag("fast", Some('f'))
        .help("Save time in the handshake by giving up forward secrecy")
        .long_help(text::FAST)
}

pub(super) fn require_forward_secrecy() -> Arg {
    flag("require-forward-secrecy", Some('g'))
        .help("Refuse a peer that uses -f")
        .long_help(text::REQUIRE_FORWARD_SECRECY)
}

pub(super) fn timeout() -> Arg {
    option(
        "timeout",
        'o',
        "SECONDS",
        utf8().try_map(|given| number::seconds(&given, number::TIMEOUT)),
    )
    .help("Give up connecting, or a handshake, after this long [default: 5]")
    .long_help(text::TIMEOUT)
}

pub(super) fn no_keepalive() -> Arg {
    flag("no-keepalive", Some('j')).help("No TCP keep-alives (they are on by default)")
}

pub(super) fn version() -> Arg {
    Arg::new("version")
        .long("version")
        .short('v')
        .action(ArgAction::Version)
        .help("Print the version")
}

pub(super) fn help() -> Arg {
    Arg::new("help")
        .long("help")
        .action(ArgAction::Help)
        .help("Print this help")
}
