//! The clap commands of both programs. Parsing, `--help`, man pages and completions are made of them.

use clap::{Arg, ArgAction, Args, Command, ValueHint};

use super::arguments::SpipedArgs;
use super::text;
use crate::config::options::{HandshakeOptions, Keepalive, TargetOptions};

/// Returns the clap command of `spiped`.
#[must_use]
pub fn spiped_command() -> Command {
    let command = Command::new("spiped")
        .about("secure pipe daemon")
        .before_help(text::SPIPED_INTRODUCTION)
        .override_usage(text::SPIPED_USAGE)
        .after_help(text::SPIPED_AFTER)
        .subcommand_help_heading("Other things it does")
        .disable_help_subcommand(true);
    program(SpipedArgs::augment_args(command))
        // Only a daemon has keys of many clients.
        .mut_args(|arg| match arg.get_long() {
            Some("key") => arg
                .help("The key file, or a folder of keys for -d; - is stdin")
                .long_help(text::KEYS),
            _ => arg,
        })
        .mut_subcommands(|command| finished(command).arg(help()))
}

/// Returns the clap command of `spipe`.
#[must_use]
pub fn spipe_command() -> Command {
    let command = Command::new("spipe")
        .about("client of the secure pipe daemon")
        .before_help(text::SPIPE_INTRODUCTION)
        .override_usage(text::SPIPE_USAGE)
        .after_help(text::ADDRESS_FORMS);
    // [`ClientArgs`](super::arguments::ClientArgs) under headings, which `spiped probe` has none of.
    let command = command.next_help_heading("Address and key (the first two are required)");
    let command = TargetOptions::augment_args(command);
    let command = command.next_help_heading("Handshake and connection");
    program(Keepalive::augment_args(HandshakeOptions::augment_args(
        command,
    )))
}

/// Completes the command of a program, and adds the options that both programs have last.
fn program(command: Command) -> Command {
    let version = Arg::new("version")
        .long("version")
        .short('v')
        .action(ArgAction::Version)
        .help("Print the version");
    finished(command)
        .next_help_heading("Information")
        .args([version, help()])
}

fn help() -> Arg {
    Arg::new("help")
        .long("help")
        .action(ArgAction::Help)
        .help("Print this help")
}

/// Sets what every command and subcommand has: the version, the form of the help, and hints for shells.
fn finished(command: Command) -> Command {
    command
        .version(env!("CARGO_PKG_VERSION"))
        .no_binary_name(true)
        // `-h` is an unknown option in C spiped, and `help` an operand.
        .disable_help_flag(true)
        .disable_version_flag(true)
        .help_template("{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}")
        .term_width(79)
        .mut_args(|arg| without_file_names(documented(arg)))
}

/// Gives an option a line for `--help`, which ends in its default, and a text for the man page, which
/// says the default in a sentence. The parser would begin the text by the line, and add the default to
/// both.
fn documented(mut arg: Arg) -> Arg {
    let [line, both] =
        [arg.get_help(), arg.get_long_help()].map(|text| text.map(ToString::to_string));
    if let Some((_, text)) = both.as_deref().and_then(|both| both.split_once("\n\n")) {
        arg = arg.long_help(text.to_owned());
    }
    match (line, arg.get_default_values()) {
        (Some(line), [default]) if !arg.is_hide_default_value_set() => {
            let line = format!("{line} [default: {}]", default.display());
            arg.help(line).hide_default_value(true)
        }
        _ => arg,
    }
}

/// Marks a value that is no file, which shells would complete with the names of files.
fn without_file_names(arg: Arg) -> Arg {
    let is_word = !arg.get_possible_values().is_empty();
    match arg.get_value_hint() {
        ValueHint::Unknown if arg.get_action().takes_values() && !is_word => {
            arg.value_hint(ValueHint::Other)
        }
        _ => arg,
    }
}
