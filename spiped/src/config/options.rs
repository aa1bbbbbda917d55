//! The options that `spiped`, `spipe` and `spiped probe` have in common, and those of which two make one
//! setting. An option that a pipe has by itself is a field of [`ConnectionConfig`]. A file has the same
//! settings, by the long names.
//!
//! The doc comment of a field is the documentation of the option: its first paragraph is the line in
//! `--help`, the others are the text in the man page.

use std::time::Duration;

use clap::{ArgAction, Args, Command, Id, ValueHint};
use spiped_tokio::{ForwardSecrecy, HandshakeConfig, Versions};

use crate::config::settings::ConnectionConfig;
use crate::config::values::{Protocol, Seconds, utf8};
use crate::keys::keyfile::KeySource;

/// Two options that exclude each other, by their long names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exclusive(pub(crate) &'static str, pub(crate) &'static str);

/// The option that says where connections come from.
#[derive(Args)]
#[group(skip)]
pub(crate) struct SourceOptions {
    /// Listen here
    ///
    /// Listen at this address. A host name that leads to several has the first of them listened at.
    /// It is looked up again as -r says, and followed when it moves.
    #[arg(short, long, value_name = "ADDRESS", value_parser = utf8())]
    pub(crate) source: Option<String>,
}

/// The options that say where connections go, and with which key.
#[derive(Args)]
#[group(skip)]
pub(crate) struct TargetOptions {
    /// Connect to here
    ///
    /// Connect to this address.
    #[arg(short, long, value_name = "ADDRESS", value_parser = utf8())]
    pub(crate) target: Option<String>,

    /// The key file, same at both ends; - is standard input
    ///
    /// The key file, the same at both ends; - is standard input. Any file will do, whatever its
    /// length and content; spiped keygen makes a good one.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<KeySource>,

    /// Connect from this local address (port optional)
    ///
    /// Connect to the target from this local address: 1.2.3.4, [1.2.3.4], [ipv6::address] or a host
    /// name, each with or without a port. Without one the system chooses a port for each connection.
    #[arg(short, long, value_name = "ADDRESS", value_parser = utf8())]
    pub(crate) bind: Option<String>,
}

/// The options about the handshake.
#[derive(Args, Default)]
#[group(skip)]
pub(crate) struct HandshakeOptions {
    /// Save time in the handshake by giving up forward secrecy
    ///
    /// Save time in the handshake by giving up forward secrecy: who records the connection and gets
    /// hold of the key file later can then read it. This concerns version 1 of the protocol alone.
    #[arg(short, long)]
    pub(crate) fast: bool,

    /// Refuse a peer that uses -f
    ///
    /// Require forward secrecy: refuse a peer that uses -f. Version 2 of the protocol always has it.
    #[arg(short = 'g', long)]
    pub(crate) require_forward_secrecy: bool,

    /// Speak only this version of the protocol: 1 or 2
    ///
    /// Speak only this version of the protocol: 1, which is that of C spiped 1.0 to 1.6, or 2.
    /// Without this option two ends speak the newest that both know, and nobody in between can
    /// change that. With 2, a peer that does not speak it is refused like one with another key: a
    /// server sends it not one byte.
    #[arg(long, value_name = "VERSION", hide_possible_values = true)]
    pub(crate) protocol: Option<Protocol>,

    /// Give up connecting, or a handshake, after this long
    ///
    /// Give up connecting to the target, or a handshake, after this long. The default is 5 seconds,
    /// and 0 stands for it.
    #[arg(short = 'o', long, value_name = "SECONDS", default_value_t)]
    pub(crate) timeout: Seconds<5>,
}

impl HandshakeOptions {
    /// Returns the configuration of the handshake.
    ///
    /// # Errors
    ///
    /// `-f` and `-g` are given, which exclude each other.
    pub(crate) fn config(&self) -> Result<HandshakeConfig, Exclusive> {
        let forward_secrecy = match (self.fast, self.require_forward_secrecy) {
            (true, true) => return Err(Exclusive("fast", "require-forward-secrecy")),
            (true, false) => ForwardSecrecy::Disabled,
            (false, true) => ForwardSecrecy::Required,
            (false, false) => ForwardSecrecy::Enabled,
        };
        Ok(HandshakeConfig::default()
            .with_forward_secrecy(forward_secrecy)
            .with_versions(self.protocol.map(Versions::from).unwrap_or_default()))
    }
}

/// The option about probes of silent peers (`SO_KEEPALIVE`).
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
#[group(skip)]
pub struct Keepalive {
    /// No TCP keep-alives (they are on by default)
    #[arg(short = 'j', long = "no-keepalive", action = ArgAction::SetFalse)]
    pub on: bool,
}

/// The options about looking up names.
#[derive(Args, Default)]
#[group(skip)]
pub(crate) struct ResolveOptions {
    /// Look names up again this often [default: 60]
    ///
    /// Look all names up again this often, and after SIGHUP. The default is 60 seconds, and 0 stands
    /// for it. Addresses that were found last stay in use while a look-up fails. On Linux a process of
    /// its own does it, unless --sandbox=off: it follows /etc/resolv.conf wherever that leads, and has
    /// no keys. If it is killed, names keep their last addresses until the daemon is restarted.
    #[arg(short, long, value_name = "SECONDS")]
    pub(crate) resolve_interval: Option<Seconds<60>>,

    /// Look names up only once, at the start
    #[arg(short = 'R', long)]
    pub(crate) no_resolve: bool,
}

impl ResolveOptions {
    /// Returns the time between two look-ups; None means that names are looked up once.
    ///
    /// # Errors
    ///
    /// `-r` and `-R` are given, which exclude each other.
    pub(crate) fn interval(&self) -> Result<Option<Duration>, Exclusive> {
        match (self.resolve_interval, self.no_resolve) {
            (Some(_), true) => Err(Exclusive("resolve-interval", "no-resolve")),
            (None, true) => Ok(None),
            (given, false) => Ok(Some(given.unwrap_or_default().get())),
        }
    }
}

/// Returns a command that has all options of a pipe except `-e` and `-d`.
fn of_pipe() -> Command {
    let command = TargetOptions::augment_args(SourceOptions::augment_args(Command::new("pipe")));
    let command = ConnectionConfig::augment_args(HandshakeOptions::augment_args(command));
    ResolveOptions::augment_args(command)
}

/// Returns the options that exclude `--config`, because a file has them as settings of a pipe.
pub(crate) fn pipe_ids() -> Vec<Id> {
    let command = of_pipe();
    let ids = command.get_arguments().map(|arg| arg.get_id().clone());
    ids.collect()
}

/// Returns the names of the settings of a pipe that the command line has as options.
pub(crate) fn pipe_settings() -> Vec<String> {
    let command = of_pipe();
    let names = command.get_arguments().filter_map(clap::Arg::get_long);
    names.map(str::to_owned).collect()
}
