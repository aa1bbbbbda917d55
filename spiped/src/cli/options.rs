//! What a command line asks for, out of what the parser found in it.
//!
//! What is missing, and the conflicts that C spiped finds only after it has read all options, are
//! found here; the parser finds the rest as it goes along.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::ArgMatches;
use spiped_proto::ForwardSecrecy;

use crate::config::number;
use crate::config::settings::{ConnectionConfig, Mode, ProcessConfig};
use crate::keys::keyfile::KeySource;
use crate::log::Destination;

/// What `spiped` is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one, for as long as the process starts"
)]
pub enum SpipedCommand {
    /// Be one end of a pipe.
    Run(SpipedOptions),
    /// Say what a daemon does (`status`).
    Status {
        /// Its control socket.
        control: PathBuf,
        /// Whether every connection is to be shown.
        connections: bool,
        /// As JSON.
        json: bool,
    },
    /// Have a daemon read its settings again (`reload`).
    Reload {
        /// Its control socket.
        control: PathBuf,
    },
    /// Say whether a peer is there and holds the key (`probe`).
    Probe(SpipeOptions),
    /// Make a key file (`keygen FILE`).
    Keygen {
        /// The file to make.
        file: PathBuf,
    },
    /// Say what is wrong with a configuration file, and what it would run (`check FILE`).
    Check {
        /// The file to check.
        file: PathBuf,
    },
}

/// What the daemon is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpipedOptions {
    /// Which pipes.
    pub pipes: Pipes,
    /// How the process runs.
    pub process: ProcessConfig,
}

/// Where it is said which pipes there are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one, for as long as the process starts"
)]
pub enum Pipes {
    /// The command line itself.
    One(PipeOptions),
    /// A file (`--config`).
    File(PathBuf),
}

/// One pipe, as the command line has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipeOptions {
    /// `-e` or `-d`.
    pub mode: Mode,
    /// `-s`, as given.
    pub source: String,
    /// `-t`, as given.
    pub target: String,
    /// `-k`.
    pub key: KeySource,
    /// `-b`, as given.
    pub bind: Option<String>,
    /// All else.
    pub connection: ConnectionConfig,
}

/// The options of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpipeOptions {
    /// `-t`, as given.
    pub target: String,
    /// `-k`.
    pub key: KeySource,
    /// `-b`, as given.
    pub bind: Option<String>,
    /// `-f` or `-g`.
    pub forward_secrecy: ForwardSecrecy,
    /// Not `-j`.
    pub keepalive: bool,
    /// `-o`: from 1 ms to 2^32 s.
    pub timeout: Duration,
}

impl SpipedOptions {
    /// The pidfile when `-p` names none: the source or the file as given, and `.pid`.
    #[must_use]
    pub fn default_pidfile(&self) -> PathBuf {
        let mut name = match &self.pipes {
            Pipes::One(pipe) => OsString::from(&pipe.source),
            Pipes::File(file) => file.clone().into(),
        };
        name.push(".pid");
        name.into()
    }

    /// # Errors
    ///
    /// What is missing, or one too many.
    pub(super) fn take(matches: &mut ArgMatches) -> Result<Self, &'static str> {
        let pipes = match matches.remove_one::<OsString>("config") {
            None => Pipes::One(PipeOptions::take(matches)?),
            Some(file) => Pipes::File(file.into()),
        };
        Ok(Self {
            pipes,
            process: ProcessConfig {
                wait_for_dns: matches.get_flag("wait-for-dns"),
                drain: matches.remove_one("drain"),
                control: matches.remove_one::<OsString>("control").map(PathBuf::from),
                foreground: matches.get_flag("foreground"),
                log: match matches.get_flag("syslog") {
                    true => Some(Destination::Syslog),
                    false => matches.remove_one("log-format"),
                },
                log_level: matches.remove_one("log-level").unwrap_or_default(),
                metrics: matches.remove_one("metrics"),
                pidfile: matches.remove_one::<OsString>("pidfile").map(PathBuf::from),
                sandbox: matches.remove_one("sandbox").unwrap_or_default(),
                user: matches.remove_one("user"),
            },
        })
    }
}

impl PipeOptions {
    fn take(matches: &mut ArgMatches) -> Result<Self, &'static str> {
        let mode = match (matches.get_flag("encrypt"), matches.get_flag("decrypt")) {
            (true, _) => Mode::Encrypt,
            (_, true) => Mode::Decrypt,
            (false, false) => return Err("neither -e nor -d is given"),
        };
        let resolve_interval = match (
            matches.remove_one("resolve-interval"),
            matches.get_flag("no-resolve"),
        ) {
            (Some(_), true) => {
                return Err("-r/--resolve-interval and -R/--no-resolve exclude each other");
            }
            (None, true) => None,
            (given, false) => Some(given.unwrap_or(number::RESOLVE_INTERVAL)),
        };
        Ok(Self {
            mode,
            source: matches
                .remove_one("source")
                .ok_or("no -s SOURCE is given")?,
            target: target(matches)?,
            key: key(matches)?,
            bind: matches.remove_one("bind"),
            connection: ConnectionConfig {
                forward_secrecy: forward_secrecy(matches)?,
                proxy_protocol: matches.remove_one("proxy-protocol"),
                accept_proxy: matches.remove_one("accept-proxy").unwrap_or_default(),
                keepalive: !matches.get_flag("no-keepalive"),
                max_connections: matches
                    .remove_one("max-connections")
                    .unwrap_or(Some(number::MAX_CONNECTIONS)),
                max_connections_per_client: matches
                    .remove_one("max-connections-per-client")
                    .unwrap_or(None),
                max_unproved: matches
                    .remove_one("max-unproved")
                    .unwrap_or(Some(number::MAX_UNPROVED)),
                max_unproved_per_source: matches
                    .remove_one("max-unproved-per-source")
                    .unwrap_or(None),
                timeout: timeout(matches),
                idle: matches
                    .remove_one("idle")
                    .filter(|idle| *idle != number::NO_TIME),
                resolve_interval,
            },
        })
    }
}

impl SpipeOptions {
    /// # Errors
    ///
    /// What is missing, or one too many.
    pub(super) fn take(matches: &mut ArgMatches) -> Result<Self, &'static str> {
        Ok(Self {
            target: target(matches)?,
            key: key(matches)?,
            bind: matches.remove_one("bind"),
            forward_secrecy: forward_secrecy(matches)?,
            keepalive: !matches.get_flag("no-keepalive"),
            timeout: timeout(matches),
        })
    }
}

impl SpipedCommand {
    /// # Errors
    ///
    /// What is missing, or one too many.
    pub(super) fn take(matches: &mut ArgMatches) -> Result<Self, &'static str> {
        match matches.remove_subcommand() {
            None => SpipedOptions::take(matches).map(Self::Run),
            Some((name, mut matches)) if name == "keygen" => Ok(Self::Keygen {
                file: file(&mut matches)?,
            }),
            Some((name, mut matches)) if name == "check" => Ok(Self::Check {
                file: file(&mut matches)?,
            }),
            Some((name, mut matches)) if name == "status" => Ok(Self::Status {
                control: control(&mut matches)?,
                connections: matches.get_flag("connections"),
                json: matches.get_flag("json"),
            }),
            Some((name, mut matches)) if name == "reload" => Ok(Self::Reload {
                control: control(&mut matches)?,
            }),
            Some((_, mut matches)) => SpipeOptions::take(&mut matches).map(Self::Probe),
        }
    }
}

fn target(matches: &mut ArgMatches) -> Result<String, &'static str> {
    let given = matches.remove_one("target");
    // The operand of `probe`; the daemon and the client have none.
    let operand = || matches.try_remove_one("peer").ok().flatten();
    given.or_else(operand).ok_or("no -t TARGET is given")
}

fn key(matches: &mut ArgMatches) -> Result<KeySource, &'static str> {
    let given: OsString = matches.remove_one("key").ok_or("no -k KEYFILE is given")?;
    Ok(match given.to_str() {
        Some("-") => KeySource::Stdin,
        _ => KeySource::File(given.into()),
    })
}

fn control(matches: &mut ArgMatches) -> Result<PathBuf, &'static str> {
    let path = matches.remove_one::<OsString>("control");
    path.map(PathBuf::from).ok_or("no --control PATH is given")
}

fn file(matches: &mut ArgMatches) -> Result<PathBuf, &'static str> {
    let file = matches.remove_one::<OsString>("file");
    file.map(PathBuf::from).ok_or("no FILE is given")
}

fn forward_secrecy(matches: &ArgMatches) -> Result<ForwardSecrecy, &'static str> {
    let required = matches.get_flag("require-forward-secrecy");
    match (matches.get_flag("fast"), required) {
        (true, true) => Err("-f/--fast and -g/--require-forward-secrecy exclude each other"),
        (true, false) => Ok(ForwardSecrecy::Disabled),
        (false, true) => Ok(ForwardSecrecy::Required),
        (false, false) => Ok(ForwardSecrecy::Enabled),
    }
}

fn timeout(matches: &mut ArgMatches) -> Duration {
    matches.remove_one("timeout").unwrap_or(number::TIMEOUT)
}
