//! What `spiped` does beside being one end of a pipe: each has a name in place of the options.

use clap::builder::OsStringValueParser;
use clap::{Arg, Command, ValueHint};

use super::super::text;
use super::shared::*;
use crate::config::number;

pub(super) fn status() -> Command {
    base("status", "Show what a daemon does")
        .before_help(text::STATUS_INTRODUCTION)
        .override_usage("spiped status --control PATH [--connections | --json]")
        .args([
            control().required(true).help("The daemon's control socket"),
            flag("connections", None)
                .conflicts_with("json")
                .help("Show every connection too"),
            flag("json", None).help("Print everything as JSON"),
            help(),
        ])
}

pub(super) fn reload() -> Command {
    base("reload", "Have a daemon read its file and keys again")
        .before_help(text::RELOAD_INTRODUCTION)
        .override_usage("spiped reload --control PATH")
        .args([
            control().required(true).help("The daemon's control socket"),
            help(),
        ])
}

pub(super) fn probe() -> Command {
    base(
        "probe",
        "Try whether the other end is there and holds the key",
    )
    .before_help(text::PROBE_INTRODUCTION)
    .override_usage("spiped probe TARGET -k KEYFILE [-b BIND] [-f | -g] [-j] [-o SECONDS]")
    .args([
        Arg::new("peer")
            .value_name("TARGET")
            .value_parser(utf8())
            .value_hint(ValueHint::Other)
            .conflicts_with("target")
            .help("Connect to here; -t does the same"),
        target(),
        key(),
        bind(),
        fast(),
        require_forward_secrecy(),
        timeout(),
        no_keepalive(),
        help(),
    ])
}

pub(super) fn check() -> Command {
    base("check", "Check a configuration file")
        .before_help(text::CHECK_INTRODUCTION)
        .override_usage("spiped check FILE")
        .args([file().help("The file to check"), help()])
}

pub(super) fn keygen() -> Command {
    base("keygen", "Make a key file")
        .before_help(text::KEYGEN_INTRODUCTION)
        .override_usage("spiped keygen FILE")
        .args([
            file().help("The file to make; one that exists is left alone, with an error"),
            help(),
        ])
}

fn file() -> Arg {
    Arg::new("file")
        .value_name("FILE")
        .required(true)
        .value_parser(OsStringValueParser::new())
        .value_hint(ValueHint::FilePath)
}
