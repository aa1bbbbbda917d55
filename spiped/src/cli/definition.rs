//! The one definition of both command lines: parsing, `--help`, man pages and completions all come
//! from it.

mod commands;
mod shared;

use std::time::Duration;

use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Arg, Command, ValueHint};

use self::shared::*;
use super::text;
use crate::config::network;
use crate::config::number;
use crate::log::{Destination, Level};
use crate::os::sandbox::Sandbox;
use crate::pipe::proxy_protocol::Version;

/// The command line of `spiped`.
#[must_use]
pub fn spiped_command() -> Command {
    base("spiped", "secure pipe daemon")
        .before_help(text::SPIPED_INTRODUCTION)
        .override_usage(text::SPIPED_USAGE)
        .after_help(text::SPIPED_AFTER)
        .subcommand_help_heading("Other things it does")
        .disable_help_subcommand(true)
        .subcommands([
            commands::keygen(),
            commands::probe(),
            commands::check(),
            commands::status(),
            commands::reload(),
        ])
        .next_help_heading("Direction (exactly one)")
        .args([
            flag("encrypt", Some('e'))
                .conflicts_with("decrypt")
                .help("Take plain connections, send them encrypted to the target"),
            flag("decrypt", Some('d'))
                .conflicts_with("encrypt")
                .help("Take encrypted connections, send them plain to the target"),
        ])
        .next_help_heading("Addresses and key (the first three are required)")
        .args([
            option("source", 's', "ADDRESS", utf8())
                .help("Listen here")
                .long_help(text::SOURCE),
            target(),
            key()
                .help("The key file, or a folder of keys for -d; - is stdin")
                .long_help(text::KEYS),
            bind(),
        ])
        .next_help_heading("Many pipes")
        .args([config()])
        .next_help_heading("Handshake and connections")
        .args([
            fast(),
            require_forward_secrecy(),
            timeout(),
            count("max-connections")
                .short('n')
                .help("Connections at once; 0 for no limit [default: 100]")
                .long_help(text::MAX_CONNECTIONS),
            count("max-connections-per-client")
                .help("The same for each client of many keys [default: 0]")
                .long_help(text::MAX_CONNECTIONS_PER_CLIENT),
            count("max-unproved")
                .help("Connections without a proof of the key [default: 4096]")
                .long_help(text::MAX_UNPROVED),
            count("max-unproved-per-source")
                .help("The same from one address; 0 for no limit [default: 0]")
                .long_help(text::MAX_UNPROVED_PER_SOURCE),
            long_option(
                "idle",
                "SECONDS",
                utf8().try_map(|given| number::seconds(&given, number::NO_TIME)),
            )
            .help("Close connections without data for this long [default: never]")
            .long_help(text::IDLE),
            no_keepalive(),
            Arg::new("proxy-protocol")
                .long("proxy-protocol")
                .value_name("VERSION")
                .value_parser(PossibleValuesParser::new(["v1", "v2"]).map(|version| {
                    match version.as_str() {
                        "v1" => Version::V1,
                        _ => Version::V2,
                    }
                }))
                .hide_possible_values(true)
                .help("Tell the target who has connected: v1 or v2")
                .long_help(text::PROXY_PROTOCOL),
            long_option(
                "accept-proxy",
                "NETWORKS",
                utf8().try_map(|given| network::list(&given)),
            )
            .help("Take such headers from the balancers in these networks")
            .long_help(text::ACCEPT_PROXY),
        ])
        .next_help_heading("Looking up names")
        .args([
            flag("wait-for-dns", Some('D'))
                .help("Start even if names cannot be looked up yet; try each second")
                .long_help(text::WAIT_FOR_DNS),
            option(
                "resolve-interval",
                'r',
                "SECONDS",
                utf8().try_map(|given| number::seconds(&given, number::RESOLVE_INTERVAL)),
            )
            .help("Look names up again this often [default: 60]")
            .long_help(text::RESOLVE_INTERVAL),
            flag("no-resolve", Some('R')).help("Look names up only once, at the start"),
        ])
        .next_help_heading("The process")
        .args([
            flag("foreground", Some('F')).help("Do not go into the background; write no pidfile"),
            option("pidfile", 'p', "FILE", OsStringValueParser::new())
                .value_hint(ValueHint::FilePath)
                .help("Write the process id here [default: SOURCE.pid]")
                .long_help(text::PIDFILE),
            option("user", 'u', "USER", utf8())
                .value_hint(ValueHint::Username)
                .help("Become USER, :GROUP or USER:GROUP, once listening")
                .long_help(text::USER),
            Arg::new("drain")
                .long("drain")
                .value_name("SECONDS")
                .value_hint(ValueHint::Other)
                .value_parser(utf8().try_map(|given| number::seconds(&given, Duration::ZERO)))
                .help("Reset connections still open so long after SIGTERM")
                .long_help(text::DRAIN),
            Arg::new("sandbox")
                .long("sandbox")
                .value_name("MODE")
                .value_parser(
                    PossibleValuesParser::new(["on", "off", "require"]).map(|mode| {
                        match mode.as_str() {
                            "off" => Sandbox::Off,
                            "require" => Sandbox::Require,
                            _ => Sandbox::On,
                        }
                    }),
                )
                .hide_possible_values(true)
                .help("Lock itself in: on, off or require [default: on]")
                .long_help(text::SANDBOX),
            long_option("metrics", "ADDRESS", utf8())
                .help("Serve metrics and health by HTTP here")
                .long_help(text::METRICS),
            control()
                .help("Listen here for spiped status and spiped reload")
                .long_help(text::CONTROL),
            flag("syslog", None)
                .help("Send warnings to syslog in place of standard error")
                .long_help(text::SYSLOG),
            Arg::new("log-format")
                .long("log-format")
                .value_name("FORMAT")
                .value_parser(PossibleValuesParser::new(["plain", "json", "journal"]).map(
                    |format| match format.as_str() {
                        "json" => Destination::Json,
                        "journal" => Destination::Journal,
                        _ => Destination::Stderr,
                    },
                ))
                .hide_possible_values(true)
                .conflicts_with("syslog")
                .help("Log plain text, json, or to the systemd journal")
                .long_help(text::LOG_FORMAT),
            Arg::new("log-level")
                .long("log-level")
                .value_name("LEVEL")
                .value_parser(
                    PossibleValuesParser::new(["error", "warning", "notice", "info"]).map(
                        |level| match level.as_str() {
                            "error" => Level::Error,
                            "warning" => Level::Warning,
                            "info" => Level::Info,
                            _ => Level::Notice,
                        },
                    ),
                )
                .hide_possible_values(true)
                .help("Log error, warning, notice or info [default: notice]")
                .long_help(text::LOG_LEVEL),
        ])
        .next_help_heading("Information")
        .args([version(), help()])
}

/// The command line of `spipe`.
#[must_use]
pub fn spipe_command() -> Command {
    base("spipe", "client of the secure pipe daemon")
        .before_help(text::SPIPE_INTRODUCTION)
        .override_usage(text::SPIPE_USAGE)
        .after_help(text::ADDRESS_FORMS)
        .next_help_heading("Address and key (the first two are required)")
        .args([target(), key(), bind()])
        .next_help_heading("Handshake and connection")
        .args([fast(), require_forward_secrecy(), timeout(), no_keepalive()])
        .next_help_heading("Information")
        .args([version(), help()])
}

/// The options that are about a pipe, but for its direction: a file has them as settings.
pub(crate) const PIPE_OPTIONS: [&str; 17] = [
    "source",
    "target",
    "key",
    "bind",
    "fast",
    "require-forward-secrecy",
    "timeout",
    "max-connections",
    "max-connections-per-client",
    "max-unproved",
    "max-unproved-per-source",
    "idle",
    "no-keepalive",
    "proxy-protocol",
    "accept-proxy",
    "resolve-interval",
    "no-resolve",
];

/// Excludes what the file says for each pipe.
fn config() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(OsStringValueParser::new())
        .value_hint(ValueHint::FilePath)
        .conflicts_with_all(["encrypt", "decrypt"])
        .conflicts_with_all(PIPE_OPTIONS)
        .help("Run the pipes that this file describes")
        .long_help(text::CONFIG)
}
