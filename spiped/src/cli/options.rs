//! The options of a command line, made of the arguments that the parser took.
//!
//! Missing options, and the conflicts that C spiped finds only after it has read all options, are found
//! here; the parser finds all other mistakes as it goes along.

use std::ffi::OsString;
use std::path::PathBuf;

use spiped_tokio::HandshakeConfig;

use super::arguments::{ClientArgs, LogArgs, SpipedArgs, Subcommands};
use crate::config::options::{Exclusive, Keepalive};
use crate::config::settings::{ConnectionConfig, PipeOptions, ProcessConfig};
use crate::config::values::{Mode, Seconds};
use crate::keys::keyfile::KeySource;
use crate::log::Destination;

/// The task that a command line gives to `spiped`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one, for as long as the process starts"
)]
pub enum SpipedCommand {
    /// Run the daemon.
    Run(SpipedOptions),
    /// Show the status of a daemon (`status`).
    Status {
        /// The control socket of the daemon.
        control: PathBuf,
        /// Whether to show every connection.
        connections: bool,
        /// Whether to print JSON.
        json: bool,
    },
    /// Have a daemon read its settings and keys again (`reload`).
    Reload {
        /// The control socket of the daemon.
        control: PathBuf,
    },
    /// Test whether a peer is there and holds the key (`probe`).
    Probe(SpipeOptions),
    /// Make a key file (`keygen FILE`).
    Keygen {
        /// The file to make.
        file: PathBuf,
    },
    /// Print the mistakes in a configuration file, or the pipes that it describes (`check FILE`).
    Check {
        /// The file to check.
        file: PathBuf,
    },
}

/// The options of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpipedOptions {
    /// The pipes to run, or the file that describes them.
    pub pipes: Pipes,
    /// The settings of the process.
    pub process: ProcessConfig,
}

/// The description of the pipes to run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one, for as long as the process starts"
)]
pub enum Pipes {
    /// The one pipe that the command line describes.
    One(PipeOptions),
    /// The file that describes all pipes (`--config`).
    File(PathBuf),
}

/// The options of `spipe` and `spiped probe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpipeOptions {
    /// `-t`, as given.
    pub target: String,
    /// `-k`.
    pub key: KeySource,
    /// `-b`, as given.
    pub bind: Option<String>,
    /// `-f`, `-g` and `--protocol`.
    pub handshake: HandshakeConfig,
    /// `-j`.
    pub keepalive: Keepalive,
    /// `-o`.
    pub timeout: Seconds<5>,
}

impl SpipedOptions {
    /// Returns the path of the pidfile without `-p`: the source or the file as given, and `.pid`.
    #[must_use]
    pub fn default_pidfile(&self) -> PathBuf {
        let mut name = match &self.pipes {
            Pipes::One(pipe) => OsString::from(&pipe.source),
            Pipes::File(file) => file.clone().into(),
        };
        name.push(".pid");
        name.into()
    }
}

/// The reason to refuse arguments that the parser accepts.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A required option or its value is missing; the text says which.
    Missing(&'static str),
    /// Two options are given that exclude each other.
    Exclusive(Exclusive),
}

impl From<Exclusive> for Refusal {
    fn from(exclusive: Exclusive) -> Self {
        Self::Exclusive(exclusive)
    }
}

impl TryFrom<SpipedArgs> for SpipedCommand {
    type Error = Refusal;

    fn try_from(mut args: SpipedArgs) -> Result<Self, Refusal> {
        Ok(match args.command.take() {
            None => Self::Run(args.try_into()?),
            Some(Subcommands::Keygen { file }) => Self::Keygen { file },
            Some(Subcommands::Check { file }) => Self::Check { file },
            Some(Subcommands::Status {
                control,
                connections,
                json,
            }) => Self::Status {
                control: control.path,
                connections,
                json,
            },
            Some(Subcommands::Reload { control }) => Self::Reload {
                control: control.path,
            },
            Some(Subcommands::Probe { peer, mut client }) => {
                let peer = client.target.target.or(peer);
                client.target.target = Some(peer.ok_or(Refusal::Missing("no TARGET is given"))?);
                Self::Probe(client.try_into()?)
            }
        })
    }
}

impl TryFrom<SpipedArgs> for SpipedOptions {
    type Error = Refusal;

    fn try_from(mut args: SpipedArgs) -> Result<Self, Refusal> {
        let LogArgs {
            syslog,
            log_format,
            log_level,
        } = args.log;
        let pidfile = args.process.pidfile.as_ref();
        if !args.process.foreground && pidfile.is_some_and(|file| file.as_os_str().is_empty()) {
            return Err(Refusal::Missing(
                "-p/--pidfile: the value is empty, and a path is needed",
            ));
        }
        let process = ProcessConfig {
            wait_for_dns: args.wait_for_dns,
            log: log_format.or(syslog.then_some(Destination::Syslog)),
            log_level,
            ..args.process.clone()
        };
        let pipes = match args.config.take() {
            Some(file) => Pipes::File(file),
            None => Pipes::One(args.try_into()?),
        };
        Ok(Self { pipes, process })
    }
}

impl TryFrom<SpipedArgs> for PipeOptions {
    type Error = Refusal;

    fn try_from(args: SpipedArgs) -> Result<Self, Refusal> {
        let mode = match (args.direction.encrypt, args.direction.decrypt) {
            (true, _) => Mode::Encrypt,
            (_, true) => Mode::Decrypt,
            (false, false) => return Err(Refusal::Missing("neither -e nor -d is given")),
        };
        let resolve_interval = args.resolve.interval()?;
        let source = args.source.source;
        Ok(Self {
            mode,
            source: source.ok_or(Refusal::Missing("no -s SOURCE is given"))?,
            target: target(args.target.target)?,
            key: key(args.target.key)?,
            bind: args.target.bind,
            connection: ConnectionConfig {
                handshake: args.handshake.config()?,
                timeout: args.handshake.timeout,
                resolve_interval,
                ..args.connection
            },
        })
    }
}

impl TryFrom<ClientArgs> for SpipeOptions {
    type Error = Refusal;

    fn try_from(args: ClientArgs) -> Result<Self, Refusal> {
        Ok(Self {
            target: target(args.target.target)?,
            key: key(args.target.key)?,
            bind: args.target.bind,
            handshake: args.handshake.config()?,
            keepalive: args.keepalive,
            timeout: args.handshake.timeout,
        })
    }
}

fn target(given: Option<String>) -> Result<String, Refusal> {
    given.ok_or(Refusal::Missing("no -t TARGET is given"))
}

fn key(given: Option<KeySource>) -> Result<KeySource, Refusal> {
    given.ok_or(Refusal::Missing("no -k KEYFILE is given"))
}
