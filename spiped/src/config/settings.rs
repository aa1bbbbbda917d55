//! Which pipes there are to be and how the process runs, whether a command line or a file says so.

use std::fmt;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use spiped_tokio::{Address, BindAddress, ForwardSecrecy};

use crate::cli::PipeOptions;
use crate::config::network::{self, Network};
use crate::config::setup::{self, SetupError};
use crate::keys::KeysSource;
use crate::log::{Destination, Level};
use crate::os::sandbox::Sandbox;
use crate::pipe::proxy_protocol::Version;

/// Which end of the pipe a daemon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Plain at the source, encrypted at the target (`-e`).
    Encrypt,
    /// Encrypted at the source, plain at the target (`-d`).
    Decrypt,
}

/// As a file has it.
impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
        })
    }
}

/// Which target of several a connection goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// The first that works.
    #[default]
    Order,
    /// Each in turn.
    RoundRobin,
}

/// How a pipe treats its connections: what a command line and a file say alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// What the key exchange is to be like.
    pub forward_secrecy: ForwardSecrecy,
    /// The header ahead of each stream to the target.
    pub proxy_protocol: Option<Version>,
    /// Networks whose connections begin with such a header, and no others come; none for no header.
    pub accept_proxy: Vec<Network>,
    /// Whether the system probes silent peers.
    pub keepalive: bool,
    /// Connections at once; None is no limit.
    pub max_connections: Option<NonZeroU64>,
    /// Connections of one client at once; None is no limit.
    pub max_connections_per_client: Option<NonZeroU64>,
    /// Connections that have not proved the key; None is no limit but that of open files.
    pub max_unproved: Option<NonZeroU64>,
    /// The same from one source address; None is no limit.
    pub max_unproved_per_source: Option<NonZeroU64>,
    /// Time for connecting, and for the whole handshake: from 1 ms to 2^32 s.
    pub timeout: Duration,
    /// How long a connection may be without data: from 1 ms to 2^32 s; None is for ever.
    pub idle: Option<Duration>,
    /// How often names are looked up again: from 1 ms to 2^32 s; None is never.
    pub resolve_interval: Option<Duration>,
}

/// One pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipeConfig {
    /// What it is called where there are several.
    pub name: Arc<str>,
    /// Which end it is.
    pub mode: Mode,
    /// Where it listens.
    pub source: Address,
    /// Where its connections go: one address at least.
    pub targets: Vec<Address>,
    /// Which of them each goes to.
    pub balance: Balance,
    /// The key, or keys.
    pub key: KeysSource,
    /// Where its connections to the target start from.
    pub bind: Option<BindAddress>,
    /// How it treats its connections.
    pub connection: ConnectionConfig,
}

impl PipeConfig {
    /// What a command line asks for, called after its source.
    ///
    /// # Errors
    ///
    /// An address is written wrongly, or none of the networks suits the source.
    pub fn from_options(options: PipeOptions) -> Result<Self, SetupError> {
        let source = setup::parse_address("source", &options.source)?;
        network::check(&options.connection.accept_proxy, &source)?;
        Ok(Self {
            name: options.source.as_str().into(),
            mode: options.mode,
            source,
            targets: vec![setup::parse_target(&options.target)?],
            balance: Balance::default(),
            key: options.key.into(),
            bind: options.bind.as_deref().map(setup::parse_bind).transpose()?,
            connection: options.connection,
        })
    }

    /// Its targets, for people.
    #[must_use]
    pub fn target(&self) -> String {
        let targets: Vec<_> = self.targets.iter().map(ToString::to_string).collect();
        targets.join(", ")
    }
}

/// The process, whatever pipes it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessConfig {
    /// `-D`: starts without look-ups, and tries them each second.
    pub wait_for_dns: bool,
    /// `--drain`: from 0 to 2^32 s; None is no bound.
    pub drain: Option<Duration>,
    /// `--control`: where to ask for the status and for a reload.
    pub control: Option<PathBuf>,
    /// `-F`.
    pub foreground: bool,
    /// `--log-format`, or `--syslog`; None is what suits the process.
    pub log: Option<Destination>,
    /// `--log-level`.
    pub log_level: Level,
    /// `--metrics`, as given.
    pub metrics: Option<String>,
    /// `-p`; None is the default.
    pub pidfile: Option<PathBuf>,
    /// `--sandbox`.
    pub sandbox: Sandbox,
    /// `-u`, as given.
    pub user: Option<String>,
}
