//! `spiped` from its options to its exit: resolve, bind, go into the background, serve, drain.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use spiped_proto::Secret;
use spiped_tokio::{Address, BoundListener, Endpoint, Handshaker};
use tokio::sync::watch;

use crate::admission::Limits;
use crate::cli::SpipedOptions;
use crate::connection::Route;
use crate::daemonize::{self, Outcome, Readiness, Role};
use crate::descriptors::DescriptorLimit;
use crate::inherited;
use crate::locked;
use crate::log::{self, Class, Destination};
use crate::pidfile::{self, PidfileError};
use crate::pipe::Pipe;
use crate::privileges::{Identity, IdentityError, PrivilegeError};
use crate::reason::reason;
use crate::sandbox::{Needs, SandboxError, Walls};
use crate::signals::{self, Termination};
use crate::start::{self, StartError};
use crate::target::Target;

/// How long `-D` waits between look-ups that fail.
const DNS_RETRY: Duration = Duration::from_secs(1);

/// How long the daemon's end waits for its last log lines to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The key or an address is no good.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The user to run as does not exist.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The user cannot be changed.
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    /// The pidfile cannot be written.
    #[error(transparent)]
    Pidfile(#[from] PidfileError),
    /// The source address cannot be listened on.
    #[error("cannot listen on {endpoint}: {}", reason(.error))]
    Bind {
        /// The address.
        endpoint: Endpoint,
        /// Why not.
        error: io::Error,
    },
    /// The sandbox has a gap, and none is allowed.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A signal ended the process in the background before it was up.
    #[error("the daemon was ended by {0} before it was up")]
    Killed(nix::sys::signal::Signal),
    /// The system lacks what it takes to run.
    #[error("cannot start: {}", reason(.0))]
    System(#[from] io::Error),
}

/// What is known before the first look-up.
struct Plan {
    options: SpipedOptions,
    source: Address,
    target: Address,
    identity: Option<Identity>,
    secret: Secret,
    /// A socket that was passed, to be listened on.
    inherited: Option<OwnedFd>,
}

/// What the look-ups brought: everything that needs the original user is done.
struct Prepared {
    listener: BoundListener,
    target: Vec<Endpoint>,
    bind: Vec<SocketAddr>,
}

/// Runs `spiped`. In the background, the calling process returns once the daemon is up.
///
/// # Errors
///
/// What to tell the user before exiting with status 1.
pub fn run(options: SpipedOptions) -> Result<ExitCode, DaemonError> {
    let plan = Plan {
        source: start::parse_address("source", &options.source)?,
        target: start::parse_address("target", &options.target)?,
        identity: options.user.as_deref().map(Identity::parse).transpose()?,
        secret: start::read_key(&options.key)?,
        inherited: inherited::take()?,
        options,
    };
    if let Some(bind) = &plan.options.bind {
        start::parse_bind(bind)?;
    }
    let early = if plan.options.wait_for_dns {
        None
    } else {
        Some(plan.prepare()?)
    };
    if plan.options.foreground {
        return plan.serve(early, None);
    }
    match daemonize::fork()? {
        Role::Child(readiness) => plan.serve(early, Some(readiness)),
        Role::Parent(waiting) => match waiting.wait()? {
            Outcome::Ready => Ok(ExitCode::SUCCESS),
            Outcome::Failed => Ok(ExitCode::FAILURE),
            Outcome::Killed(signal) => Err(DaemonError::Killed(signal)),
        },
    }
}

impl Plan {
    /// Looks up all addresses and listens. May block.
    fn prepare(&self) -> Result<Prepared, DaemonError> {
        let target = start::resolve("target", &self.target)?;
        let bind = start::resolve_bind(self.options.bind.as_deref())?;
        let sources = start::resolve("source", &self.source)?;
        let [endpoint, others @ ..] = &sources[..] else {
            return Err(io::Error::from(io::ErrorKind::AddrNotAvailable).into());
        };
        if !others.is_empty() {
            log::warning(
                Class::Daemon,
                format_args!(
                    "{} has several addresses: listening on {endpoint} only",
                    self.source
                ),
            );
        }
        signals::hold_termination()?;
        let listener = match &self.inherited {
            None => BoundListener::bind(endpoint),
            Some(socket) => socket
                .try_clone()
                .and_then(|socket| BoundListener::adopt(socket, endpoint)),
        };
        let listener = listener.map_err(|error| DaemonError::Bind {
            endpoint: endpoint.clone(),
            error,
        })?;
        Ok(Prepared {
            listener,
            target,
            bind,
        })
    }

    /// Prepares for as long as look-ups fail (`-D`).
    fn prepare_when_resolvable(&self) -> Result<Prepared, DaemonError> {
        loop {
            match self.prepare() {
                Err(DaemonError::Start(error @ StartError::Resolve { .. })) => {
                    log::warning(Class::Lookup, format_args!("{error}; trying again"));
                    std::thread::sleep(DNS_RETRY);
                }
                prepared => return prepared,
            }
        }
    }

    /// Runs as the daemon, from the pidfile to the last connection.
    fn serve(
        self,
        early: Option<Prepared>,
        mut readiness: Option<Readiness>,
    ) -> Result<ExitCode, DaemonError> {
        if readiness.is_some() {
            pidfile::write(&self.pidfile())?;
        }
        let destination = self.log_destination();
        log::open(destination);
        let limits = self.limits()?;
        let prepared = match early {
            Some(prepared) => prepared,
            None => {
                if let Some(readiness) = readiness.take() {
                    readiness.ready()?;
                }
                self.prepare_when_resolvable()?
            }
        };
        if let Some(identity) = self.identity {
            identity.assume()?;
        }
        let needs = self.needs(&prepared, destination);
        let (secret, key_lock) = locked::lock(self.secret);
        let route = Route {
            target: Target::new(self.target, prepared.target),
            bind: prepared.bind,
            handshaker: Handshaker::new(secret).with_forward_secrecy(self.options.forward_secrecy),
            timeout: self.options.timeout,
            idle: self.options.idle,
            keepalive: self.options.keepalive,
        };
        let pipe = Pipe::new(self.options.mode, route, limits);
        // Asked before the sandbox, which hides the limits of a container.
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let walls = self.options.sandbox.enter(&needs, key_lock)?;
        log::start()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_all()
            .build()?;
        runtime.block_on(serve(
            Arc::new(pipe),
            prepared.listener,
            &self.options,
            readiness,
            walls,
        ))?;
        // A look-up that hangs must not keep the process alive.
        runtime.shutdown_background();
        log::finish(LAST_LINES);
        Ok(ExitCode::SUCCESS)
    }

    /// In the background, lines that nobody would see on standard error go to syslog where there is
    /// one.
    fn log_destination(&self) -> Destination {
        let unseen = !self.options.foreground && !daemonize::stderr_is_kept();
        let unseen = unseen && Path::new("/dev/log").exists();
        if self.options.syslog || unseen {
            Destination::Syslog
        } else {
            Destination::Stderr
        }
    }

    /// What is left to do once the daemon runs.
    fn needs(&self, prepared: &Prepared, log: Destination) -> Needs {
        let mut needs = Needs::of(&prepared.target, &prepared.bind);
        needs.names = self.options.resolve_interval.is_some() && self.target.is_name();
        needs.unix_sockets |= log == Destination::Syslog;
        needs
    }

    fn pidfile(&self) -> PathBuf {
        let given = self.options.pidfile.clone();
        given.unwrap_or_else(|| self.options.default_pidfile())
    }

    /// What is asked for, as far as there are descriptors; says so if there are too few.
    fn limits(&self) -> io::Result<Limits> {
        let descriptors = DescriptorLimit::raise()?;
        if let Some(max) = self.options.max_connections
            && !descriptors.suffices_for(max.get())
        {
            log::warning(
                Class::Daemon,
                format_args!(
                    "the limit of {descriptors} open files is enough for {} connections, not for \
                     {max}",
                    descriptors.connections()
                ),
            );
        }
        Ok(Limits::new(&self.options, descriptors))
    }
}

/// Serves connections until SIGTERM has come and the last of them has ended, or has had its time.
async fn serve(
    pipe: Arc<Pipe>,
    listener: BoundListener,
    options: &SpipedOptions,
    readiness: Option<Readiness>,
    walls: Option<Walls>,
) -> io::Result<()> {
    let mut termination = Termination::watch()?;
    let listener = listener.start()?;
    if let Some(readiness) = readiness {
        readiness.ready()?;
    }
    // Only now, so that nobody who waits for the daemon to be up gets to see it.
    if let Some(walls) = walls {
        log::info(Class::Daemon, format_args!("{walls}"));
    }
    if let Some(interval) = options.resolve_interval {
        let pipe = Arc::clone(&pipe);
        tokio::spawn(async move { pipe.keep_target_fresh(interval).await });
    }
    let (drain, draining) = watch::channel(false);
    // On a task of its own, so that accepting is done by the runtime's workers.
    let mut running = tokio::spawn(pipe.run(listener, draining, options.drain));
    tokio::select! {
        ended = &mut running => return ended.map(drop).map_err(io::Error::other),
        () = termination.requested() => {}
    }
    drain.send_replace(true);
    let left = tokio::select! {
        ended = running => ended.map_err(io::Error::other)?,
        () = termination.requested() => termination.obey(),
    };
    if left > 0 {
        let connections = if left == 1 {
            "connection"
        } else {
            "connections"
        };
        log::warning(
            Class::Daemon,
            format_args!("the time to end is over: resetting {left} {connections}"),
        );
    }
    Ok(())
}
