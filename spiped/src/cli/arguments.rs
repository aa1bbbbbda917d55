//! The arguments of both programs, as clap parses them. The options that a file has as settings too, and
//! those of the process, stand in [`config::options`](crate::config::options) and
//! [`config::settings`](crate::config::settings).

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::text;
use crate::config::options::{
    HandshakeOptions, Keepalive, ResolveOptions, SourceOptions, TargetOptions, pipe_ids,
};
use crate::config::settings::{ConnectionConfig, ProcessConfig};
use crate::config::values::{path, utf8};
use crate::log::{Destination, Level};

/// The arguments of `spiped`.
#[derive(Args)]
#[group(skip)]
pub(super) struct SpipedArgs {
    #[command(subcommand)]
    pub(super) command: Option<Subcommands>,

    #[command(flatten, next_help_heading = "Direction (exactly one)")]
    pub(super) direction: DirectionArgs,

    #[command(
        flatten,
        next_help_heading = "Addresses and key (the first three are required)"
    )]
    pub(super) source: SourceOptions,

    #[command(flatten)]
    pub(super) target: TargetOptions,

    /// Run the pipes that this file describes
    ///
    /// Run all pipes that this file describes, in TOML: a table [pipe.NAME] for each, and [defaults]
    /// for what they share. A setting is named like the long option that it stands for, such as
    /// max-connections = 200; mode is "encrypt" or "decrypt". target may be an array of several
    /// addresses: with balance = "order", the default, a connection goes to the first that works,
    /// with "round-robin" to each in turn; one that cannot be connected to is passed over for 10
    /// seconds. With mode = "decrypt", key may be an array too, of key files and of folders of them,
    /// such as ["alice.key", "bob.key"]: as in a folder, each is that of the client that it is called
    /// after, up to the first dot, whatever it ends in. Relative paths start from the folder of the
    /// file. SIGHUP reads the file and the keys again: pipes that are new, changed or gone take
    /// effect, connections that are open stay, and with a mistake in the file nothing changes but
    /// that clients whose keys were removed are out. Try spiped check first.
    #[arg(
        long,
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        value_parser = path(),
        help_heading = "Many pipes",
        conflicts_with_all = ["encrypt", "decrypt"],
        conflicts_with_all = pipe_ids(),
    )]
    pub(super) config: Option<PathBuf>,

    #[command(flatten, next_help_heading = "Handshake and connections")]
    pub(super) handshake: HandshakeOptions,

    #[command(flatten)]
    pub(super) connection: ConnectionConfig,

    /// Start even if names cannot be looked up yet; try each second
    ///
    /// Start even if names cannot be looked up yet: go into the background first, and try again each
    /// second until it works. When spiped returns, it may not accept connections yet.
    #[arg(short = 'D', long, help_heading = "Looking up names")]
    pub(super) wait_for_dns: bool,

    #[command(flatten, next_help_heading = "Looking up names")]
    pub(super) resolve: ResolveOptions,

    #[command(flatten, next_help_heading = "The process")]
    pub(super) process: ProcessConfig,

    #[command(flatten, next_help_heading = "The process")]
    pub(super) log: LogArgs,
}

/// The options that choose the end of the pipe.
#[derive(Args)]
#[group(skip)]
pub(super) struct DirectionArgs {
    /// Take plain connections, send them encrypted to the target
    #[arg(short, long, conflicts_with = "decrypt")]
    pub(super) encrypt: bool,

    /// Take encrypted connections, send them plain to the target
    #[arg(short, long, conflicts_with = "encrypt")]
    pub(super) decrypt: bool,
}

/// The options that choose what is logged, and in which form.
#[derive(Args)]
#[group(skip)]
pub(super) struct LogArgs {
    /// Send warnings to syslog in place of standard error
    ///
    /// Send warnings to syslog in place of standard error, once start-up is over.
    #[arg(long)]
    pub(super) syslog: bool,

    /// Log plain text, json, or to the systemd journal
    ///
    /// Log in this form. plain is a line of text on standard error. json is an object a line on
    /// standard error, with time, level, class, message and further fields, such as pipe, peer, key,
    /// outcome, bytes_from_source, bytes_to_source and duration_seconds for a connection. journal
    /// goes to systemd's journal, which gets the same fields in upper case behind SPIPED_ (journalctl
    /// SPIPED_OUTCOME=wrong-key). The default is journal where standard error goes there anyway, syslog
    /// for a daemon in the background whose standard error is no file, else plain. In the background,
    /// plain and json want standard error to be a file.
    #[arg(
        long,
        value_name = "FORMAT",
        hide_possible_values = true,
        conflicts_with = "syslog"
    )]
    pub(super) log_format: Option<Destination>,

    /// Log error, warning, notice or info
    ///
    /// Log what is at least this grave: error, warning (a connection has failed), notice (what the
    /// daemon does) or info (each connection that has ended well: who, how much, how long). The
    /// default is notice. Of each kind of line only some are logged when there are many, and then how
    /// many were held back: 2 a second after the first 10, and of connections that have ended well
    /// 200 a second after the first 1000.
    #[arg(
        long,
        value_name = "LEVEL",
        default_value_t,
        hide_possible_values = true
    )]
    pub(super) log_level: Level,
}

/// The arguments of a client with one connection: `spipe` or `spiped probe`.
#[derive(Args)]
#[group(skip)]
pub(super) struct ClientArgs {
    #[command(flatten)]
    pub(super) target: TargetOptions,

    #[command(flatten)]
    pub(super) handshake: HandshakeOptions,

    #[command(flatten)]
    pub(super) keepalive: Keepalive,
}

/// The subcommands of `spiped`: a name in place of the options.
#[derive(Subcommand)]
pub(super) enum Subcommands {
    /// Make a key file
    #[command(before_help = text::KEYGEN_INTRODUCTION, override_usage = "spiped keygen FILE")]
    Keygen {
        /// The file to make, or - for standard output; one that exists is left alone, with an error
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = path())]
        file: PathBuf,
    },

    /// Try whether the other end is there and holds the key
    #[command(
        before_help = text::PROBE_INTRODUCTION,
        override_usage = text::PROBE_USAGE
    )]
    Probe {
        /// Connect to here; -t does the same
        #[arg(value_name = "TARGET", value_parser = utf8(), conflicts_with = "target")]
        peer: Option<String>,

        #[command(flatten)]
        client: ClientArgs,
    },

    /// Check a configuration file
    #[command(before_help = text::CHECK_INTRODUCTION, override_usage = "spiped check FILE")]
    Check {
        /// The file to check
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, value_parser = path())]
        file: PathBuf,
    },

    /// Show what a daemon does
    #[command(
        before_help = text::STATUS_INTRODUCTION,
        override_usage = "spiped status --control PATH [--connections | --json]"
    )]
    Status {
        #[command(flatten)]
        control: ControlArgs,

        /// Show every connection too
        #[arg(long, conflicts_with = "json")]
        connections: bool,

        /// Print everything as JSON
        #[arg(long)]
        json: bool,
    },

    /// Have a daemon read its file and keys again
    #[command(
        before_help = text::RELOAD_INTRODUCTION,
        override_usage = "spiped reload --control PATH"
    )]
    Reload {
        #[command(flatten)]
        control: ControlArgs,
    },
}

/// The option that names the control socket of a running daemon.
#[derive(Args)]
#[group(skip)]
pub(super) struct ControlArgs {
    /// The daemon's control socket
    #[arg(
        long = "control",
        value_name = "PATH",
        value_hint = ValueHint::FilePath,
        value_parser = path()
    )]
    pub(super) path: PathBuf,
}
