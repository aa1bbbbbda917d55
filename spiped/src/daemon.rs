#![forbid(unsafe_code)]

//! The daemon from its options to its exit: it reads the configuration and the keys, looks names up,
//! binds, goes into the background, enters the sandbox, and serves.
//!
//! [`run`] and `Plan` are the start. `serving` is the time after it, with `reload` for what a reload
//! reads and `pipes` for the pipes that run.

pub mod bind;
mod blocking_thread;
pub mod config_source;
pub mod pipes;
mod reload;
pub mod resolver;
pub mod sd_notify;
mod serving;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serving::Daemon;
use tokio::sync::watch;

use crate::admin::AdminListeners;
use crate::cli::{Pipes, SpipedOptions};
use crate::config::settings::{PipeConfig, ProcessConfig};
use crate::config::setup::SetupError;
use crate::daemon::bind::{BoundPipe, ExistingState, InheritedSockets};
use crate::daemon::blocking_thread::BlockingThread;
use crate::daemon::config_source::ConfigSource;
use crate::daemon::pipes::RunningPipes;
use crate::daemon::sd_notify::Supervisor;
use crate::keys::Keys;
use crate::log::{self, Class, Destination};
use crate::os::daemonize::{self, Outcome, Readiness};
use crate::os::event_loop::event_loop;
use crate::os::fd_limit::FdLimit;
use crate::os::lookup_process::{self, Role};
use crate::os::os_error::os_error;
use crate::os::pidfile::{self, PidfileError};
use crate::os::privileges::{Identity, IdentityError, PrivilegeError};
use crate::os::sandbox::SandboxError;
use crate::os::signals::{self, HangUp};
use crate::os::socket_activation;
use crate::os::system_error::{SystemError, cannot};
use crate::pipe::admission;
use crate::pipe::registry::Registry;
use crate::pipe::workers::{Workers, key_exchange_pool};

/// The pause of `-D` after a look-up that fails.
const DNS_RETRY: Duration = Duration::from_secs(1);

/// The extra time that a supervisor is asked to wait for each look-up that fails, as it may take long if name
/// servers do not answer.
const DNS_PATIENCE: Duration = Duration::from_secs(120);

/// The reason why the daemon cannot run, or cannot reload.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The configuration is wrong; or a key cannot be read, a name not be looked up, or an address not be
    /// listened on.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The user to run as does not exist.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The user cannot be changed.
    #[error(transparent)]
    Privileges(#[from] PrivilegeError),
    /// The pidfile cannot be written.
    #[error(transparent)]
    Pidfile(#[from] PidfileError),
    /// The system lacks a part of the sandbox, and all of it is required.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// A signal ended the process in the background before it was up.
    #[error("the daemon was ended by {0} before it was up")]
    Killed(nix::sys::signal::Signal),
    /// The system lacks what it takes to reload.
    #[error("cannot reload: {}", os_error(.0))]
    Reload(io::Error),
    /// A reload was given up because one of its steps took too long.
    #[error("{what} took longer than {seconds} seconds")]
    Late {
        /// The step.
        what: String,
        /// The time limit in seconds.
        seconds: u64,
    },
    /// The system lacks what it takes to run.
    #[error(transparent)]
    System(#[from] SystemError),
}

/// The configuration, keys and addresses that the daemon has read before it goes into the background.
struct Plan {
    process: ProcessConfig,
    pidfile: PathBuf,
    config_source: ConfigSource,
    pipes: Vec<(PipeConfig, Keys)>,
    identity: Option<Identity>,
    existing: ExistingState,
    supervisor: Supervisor,
    listeners: AdminListeners,
}

/// Runs `spiped`. In the background, the calling process returns once the daemon is up.
///
/// # Errors
///
/// The error is for the user; the program then exits with status 1.
pub fn run(options: SpipedOptions) -> Result<ExitCode, DaemonError> {
    // Passed sockets are taken first, so that no descriptor of the process itself is taken for one.
    let inherited = match options.pipes {
        Pipes::One(_) => socket_activation::take(1)
            .map_err(cannot("start"))?
            .pop()
            .map_or(InheritedSockets::None, InheritedSockets::One),
        Pipes::File(_) => {
            InheritedSockets::Any(socket_activation::take(usize::MAX).map_err(cannot("start"))?)
        }
    };
    let pidfile = options.default_pidfile();
    let process = options.process;
    log::set_level(process.log_level);
    log::take_panics();
    if process.log == Some(Destination::Json) {
        log::set_json();
    }
    let config_source = ConfigSource::of(options.pipes)?;
    if let ConfigSource::File(_) = config_source {
        log::show_pipes();
    }
    // Signals are set up before anything that may block, so that SIGTERM ends it.
    signals::block_reload()?;
    let settings = config_source.read()?;
    let identity = process.user.as_deref().map(Identity::parse).transpose()?;
    let pipes = bind::read_keys(settings)?;
    let metrics = AdminListeners::resolve(process.metrics.as_deref())?;
    let mut existing = ExistingState {
        inherited,
        ..ExistingState::default()
    };
    if !process.wait_for_dns {
        existing.look_up(&pipes)?;
    }
    // Signals are blocked before the first socket is bound. From here on, work that may block for long has
    // to be `interruptible`.
    signals::block_all()?;
    let plan = Plan {
        identity,
        pipes,
        existing,
        supervisor: Supervisor::from_environment(),
        pidfile: process.pidfile.clone().unwrap_or(pidfile),
        listeners: AdminListeners::bind(metrics, process.control.as_deref())?,
        config_source,
        process,
    };
    let early = if plan.process.wait_for_dns {
        None
    } else {
        Some(plan.bind()?)
    };
    if plan.process.foreground {
        return plan.serve(early, None);
    }
    match daemonize::fork()? {
        daemonize::Role::Child(readiness) => plan.serve(early, Some(readiness)),
        daemonize::Role::Parent(waiting) => match signals::interruptible(|| waiting.wait())?? {
            Outcome::Ready => Ok(ExitCode::SUCCESS),
            Outcome::Failed => Ok(ExitCode::FAILURE),
            Outcome::Killed(signal) => Err(DaemonError::Killed(signal)),
        },
    }
}

impl Plan {
    /// Binds all pipes. Their names have been looked up.
    fn bind(&self) -> Result<Vec<BoundPipe>, SetupError> {
        bind::bind_all(&self.pipes, &self.existing)
    }

    /// Looks names up until that succeeds (`-D`), and binds all pipes.
    fn bind_when_resolvable(&mut self) -> Result<Vec<BoundPipe>, DaemonError> {
        while let Err(error) = signals::interruptible(|| self.existing.look_up(&self.pipes))? {
            let why = format_args!("{error}; trying again");
            log::warning(Class::Lookup, why);
            self.supervisor.waiting(why, DNS_PATIENCE);
            signals::interruptible(|| thread::sleep(DNS_RETRY))?;
        }
        Ok(self.bind()?)
    }

    /// Runs as the daemon, from the pidfile to the last connection. `early` are the pipes if they are bound
    /// already.
    fn serve(
        mut self,
        early: Option<Vec<BoundPipe>>,
        mut readiness: Option<Readiness>,
    ) -> Result<ExitCode, DaemonError> {
        if readiness.is_some() {
            pidfile::write(&self.pidfile)?;
        }
        let destination = self.log_destination();
        log::open(destination);
        let descriptors = self.descriptors()?;
        let mut bound = match early {
            Some(bound) => bound,
            None => {
                if let Some(readiness) = &mut readiness {
                    readiness.tell()?;
                }
                self.bind_when_resolvable()?
            }
        };
        for passed in self
            .existing
            .unwanted(bound.iter().map(|pipe| &pipe.listening))
        {
            log::warning(
                Class::Daemon,
                format_args!("no pipe listens on the socket that was passed as {passed}"),
            );
        }
        // Bound pipes have descriptors of their own for the sockets that were passed.
        drop(self.existing);
        // Bound pipes have keys of their own, and only those are locked in memory.
        drop(self.pipes);
        let key_lock = BoundPipe::lock_keys(&mut bound);
        let mut permissions = self.config_source.permissions(&bound);
        let sandbox = self.process.sandbox;
        // The look-up process starts before the user is changed, as it becomes `nobody`, and after the keys
        // were locked, as it must not have them.
        let lookups = match permissions.names && sandbox.needs_lookup_process() {
            false => None,
            true => {
                match lookup_process::start().map_err(cannot("start a process for look-ups"))? {
                    Role::Daemon(socket) => Some(socket),
                    Role::Resolver(resolver) => {
                        drop(bound);
                        resolver.run(sandbox)
                    }
                }
            }
        };
        permissions.names &= lookups.is_none();
        if let Some(identity) = self.identity {
            let groups = identity.assume()?;
            if groups.are_left() {
                log::warning(
                    Class::Daemon,
                    format_args!("supplementary groups stay: only root can give them up (-u)"),
                );
            }
        }
        permissions.unix_sockets |=
            matches!(destination, Destination::Syslog | Destination::Journal);
        let hang_up = HangUp::of(self.process.foreground);
        let key_exchange = key_exchange_pool();
        let mut report = sandbox.enter(&permissions, key_lock)?;
        if let (Some(report), Some(lookups)) = (&mut report, &lookups) {
            let missing = lookup_process::read_report(lookups);
            let missing = missing.map_err(cannot("start the process for look-ups"))?;
            report.join(sandbox, "look-ups", &missing)?;
        }
        for pipe in &bound {
            pipe.warn_of_keys();
        }
        log::start()?;
        let workers = Arc::new(Workers::start(descriptors.workers())?);
        // This event loop runs everything but connections, which the workers serve.
        let runtime = event_loop()?;
        let registry = Arc::new(Registry::default());
        let daemon = Daemon {
            process: self.process,
            config_source: self.config_source,
            pipes: RunningPipes::new(
                descriptors,
                key_exchange,
                Arc::clone(&workers),
                Arc::clone(&registry),
            ),
            registry,
            supervisor: self.supervisor,
            thread: BlockingThread::start("reload")
                .map_err(cannot("start a thread for reloads"))?,
            hang_up,
            is_draining: false,
            is_reloading: watch::Sender::new(false),
        };
        runtime.block_on(daemon.serve(bound, self.listeners, readiness, report, lookups))?;
        workers.end();
        // A look-up that hangs must not keep the process alive.
        runtime.shutdown_background();
        log::finish(log::LAST_LINES);
        Ok(ExitCode::SUCCESS)
    }

    /// Returns the destination of the log: the one that was asked for; else the journal if standard error
    /// goes there, or syslog if there is one and nobody would see standard error.
    fn log_destination(&self) -> Destination {
        let unseen = !self.process.foreground && !daemonize::stderr_is_kept();
        match self.process.log {
            Some(asked @ (Destination::Stderr | Destination::Json)) if unseen => {
                log::warning_now(
                    "nobody will see the log: in the background, standard error is kept only if it \
                     is a file",
                );
                asked
            }
            Some(asked) => asked,
            None if daemonize::stderr_is_journal() && log::has_journal() => Destination::Journal,
            None if unseen && log::has_syslog() => Destination::Syslog,
            None => Destination::Stderr,
        }
    }

    /// Raises the limit of open files as far as it goes. Warns if it is too low for the connections that
    /// the pipes allow.
    fn descriptors(&self) -> Result<FdLimit, SystemError> {
        // The sandbox hides the limits of a container, so this comes before it.
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let descriptors = FdLimit::raise(processors)?;
        let pipes = self.pipes.iter().map(|(config, _)| config);
        if let Some(max) = admission::served_by(pipes)
            && !descriptors.suffices_for(max)
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
        Ok(descriptors)
    }
}

impl DaemonError {
    /// Returns the error as text, with a line for each mistake.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Setup(error) => error.lines(),
            other => vec![other.to_string()],
        }
    }
}
