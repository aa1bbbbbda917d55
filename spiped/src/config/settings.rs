//! The settings of a pipe ([`PipeConfig`], [`ConnectionConfig`]) and of the process ([`ProcessConfig`]).
//!
//! A field with `#[arg]` is also the definition of its option, as in
//! [`options`](crate::config::options). A field with `#[arg(skip)]` is made of the options that its
//! comment names.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueHint};
use spiped_tokio::{Address, BindAddress, HandshakeConfig};

use crate::config::network::Networks;
use crate::config::options::Keepalive;
use crate::config::setup::{self, SetupError};
use crate::config::values::{Balance, Limit, Mode, ProxyVersion, Seconds, path, utf8};
use crate::keys::KeysSource;
use crate::keys::keyfile::KeySource;
use crate::log::{Destination, Level};
use crate::os::sandbox::Sandbox;

/// How a pipe treats its connections: what a command line and a file say alike.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[group(skip)]
pub struct ConnectionConfig {
    /// The forward secrecy and the versions that a handshake has to have (`-f`, `-g`, `--protocol`).
    #[arg(skip)]
    pub handshake: HandshakeConfig,

    /// The longest time for connecting, and for the whole handshake (`-o`).
    #[arg(skip)]
    pub timeout: Seconds<5>,

    /// Connections at once; 0 for no limit
    ///
    /// Have at most this many connections at once; the default is 100. At the limit spiped warns. With
    /// -e it accepts no more; with -d peers prove the key and wait. They are served as others end. 0
    /// is no limit, and so is a negative number. A number that starts with 0 is octal, with 0x hexadecimal.
    #[arg(short = 'n', long, value_name = "MAX", default_value_t)]
    pub max_connections: Limit<100>,

    /// Connections of each client of many keys; 0 for no limit
    ///
    /// With -d and keys of clients, have at most this many connections of each client at once, those
    /// included that wait for their turn at the limit of -n. One more is closed, with a line in the
    /// log. 0 is no limit, and the default: one client may then take all that -n allows.
    #[arg(long, value_name = "MAX", default_value_t)]
    pub max_connections_per_client: Limit<0>,

    /// Connections without a proof of the key
    ///
    /// With -d, let at most this many connections be that have not proved yet that they hold the
    /// key; the default is 4096. For one more, another one is closed: the oldest of those that have
    /// sent nothing or, if there is none, the oldest. It is one of the address that has half of all
    /// places, if one has. They take no connection of -n and none to the target. However many are
    /// asked for, 0 for no limit, they get at most half of the open files that those of -n leave.
    #[arg(long, value_name = "MAX", default_value_t)]
    pub max_unproved: Limit<4096>,

    /// Those without a proof from one address; 0 for no limit
    ///
    /// With -d, the same for those from one IPv4 address or one IPv6 network of 64 bits. For one
    /// more, one of its own is closed. 0 is no limit, and the default: a source is then left alone
    /// until the bound for all is reached, when one that has half of all places makes room for
    /// whoever comes.
    #[arg(long, value_name = "MAX", default_value_t)]
    pub max_unproved_per_source: Limit<0>,

    /// Close connections without data for this long [default: never]
    ///
    /// Close a connection, by reset, when no data has come from either side for this long, also if
    /// that is because one side does not read. 0 is no limit, and the default.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t,
        hide_default_value = true
    )]
    pub idle: Seconds<0>,

    /// Whether the system probes silent peers (`-j`).
    #[command(flatten)]
    pub keepalive: Keepalive,

    /// Tell the target who has connected: v1 or v2
    ///
    /// Put a header of the PROXY protocol, v1 or v2, ahead of the stream to the target, which has to
    /// expect it. It has the address of whoever has connected: with -d that is the encrypted peer,
    /// with -e the client, and the header goes through the pipe to the target of the other end. With
    /// -d, a folder of keys and v2, it has the client's name too, as a field of type 0xE0. For a
    /// client of a unix socket it is PROXY UNKNOWN, or LOCAL.
    #[arg(long, value_name = "VERSION", hide_possible_values = true)]
    pub proxy_protocol: Option<ProxyVersion>,

    /// Take such headers from the balancers in these networks
    ///
    /// Listen behind a balancer: each connection has to begin with a header of the PROXY protocol, v1
    /// or v2, and has to come from one of these networks, such as 10.0.0.0/8,127.0.0.1; others are
    /// closed, with a line in the log. The word unix stands for the peers of a unix socket, that is,
    /// for whoever may write to its file. The address in the header counts as that of the client, in
    /// the log, for --max-unproved-per-source and for --proxy-protocol. Until the header is there, a
    /// connection counts for --max-unproved and not for -n. It has as long as -o says; with -d, the
    /// handshake too has to be over by then.
    #[arg(long, value_name = "NETWORKS")]
    pub accept_proxy: Option<Networks>,

    /// The time between two look-ups of a name (`-r`); with None a name is looked up once (`-R`).
    #[arg(skip)]
    pub resolve_interval: Option<Duration>,
}

/// The pipe of a command line, with its addresses as they were typed.
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
    /// The limits and options of its connections.
    pub connection: ConnectionConfig,
}

/// One pipe, of a command line or of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipeConfig {
    /// The name in the file, or the source as the command line has it.
    pub name: Arc<str>,
    /// The end of the pipe that this process is.
    pub mode: Mode,
    /// The address that the pipe listens on.
    pub source: Address,
    /// The addresses that its connections go to: one at least.
    pub targets: Vec<Address>,
    /// The way to choose one of the targets for a connection.
    pub balance: Balance,
    /// The key file, or the files and folders of clients' keys.
    pub key: KeysSource,
    /// The local address that connections to the target start from; None leaves it to the system.
    pub bind: Option<BindAddress>,
    /// The limits and options of its connections.
    pub connection: ConnectionConfig,
}

impl PipeConfig {
    /// Makes the pipe of a command line. Its name is its source.
    ///
    /// # Errors
    ///
    /// An address is written wrongly, or no peer of the source can be in a network of `--accept-proxy`.
    pub fn from_options(options: PipeOptions) -> Result<Self, SetupError> {
        let source = setup::parse_address("source", &options.source)?;
        if let Some(networks) = &options.connection.accept_proxy {
            networks.check(&source)?;
        }
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

    /// Returns the targets as text, with commas in between.
    #[must_use]
    pub fn target(&self) -> String {
        let targets: Vec<_> = self.targets.iter().map(ToString::to_string).collect();
        targets.join(", ")
    }
}

/// The process, whatever pipes it has.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[group(skip)]
pub struct ProcessConfig {
    /// Whether to start without look-ups, and to try them each second (`-D`).
    #[arg(skip)]
    pub wait_for_dns: bool,

    /// Do not go into the background; write no pidfile
    #[arg(short = 'F', long)]
    pub foreground: bool,

    /// Write the process id here [default: SOURCE.pid]
    ///
    /// Write the process id to this file. The default is the source address as given with .pid
    /// appended, so that spiped -s [127.0.0.1]:80 writes [127.0.0.1]:80.pid to the current directory.
    /// With -F, no pidfile is written.
    // An empty path is refused later: with -F it does no harm, and C spiped takes it.
    #[arg(
        short,
        long,
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    pub pidfile: Option<PathBuf>,

    /// Become USER, :GROUP or USER:GROUP, once listening
    ///
    /// Become USER, :GROUP or USER:GROUP, each a name or a number, after binding the source address,
    /// reading the key and writing the pidfile.
    #[arg(short, long, value_name = "USER", value_hint = ValueHint::Username, value_parser = utf8())]
    pub user: Option<String>,

    /// Reset connections still open so long after SIGTERM
    ///
    /// After SIGTERM, give connections that are open this long to end; reset the rest and log how
    /// many they were. 0 resets them at once. Without this option they have all the time they need.
    #[arg(long, value_name = "SECONDS")]
    pub drain: Option<Seconds<0>>,

    /// Lock itself in: on, off or require
    ///
    /// Once listening, give up what is not needed to serve: files, ports, system calls. The default,
    /// on, takes what the system has; require refuses to start without all of it; off gives up
    /// nothing, for a debugger.
    #[arg(
        long,
        value_name = "MODE",
        default_value_t,
        hide_possible_values = true
    )]
    pub sandbox: Sandbox,

    /// Serve metrics and health by HTTP here
    ///
    /// Serve HTTP at this address, or unix socket: /metrics for Prometheus and whatever else reads
    /// OpenMetrics, /healthz, and /readyz, which says 503 before pipes listen and while they drain.
    /// Anybody who can connect may ask.
    #[arg(long, value_name = "ADDRESS", value_parser = utf8())]
    pub metrics: Option<String>,

    /// Listen here for spiped status and spiped reload
    ///
    /// Make a unix socket at this path for spiped status and spiped reload. Only the user of the
    /// daemon and root may use it.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, value_parser = path())]
    pub control: Option<PathBuf>,

    /// The place and the form of log lines (`--log-format`, `--syslog`); with None the daemon chooses.
    #[arg(skip)]
    pub log: Option<Destination>,

    /// The lowest level of lines that are logged (`--log-level`).
    #[arg(skip)]
    pub log_level: Level,
}
