//! The daemon while it serves: it reloads when it is asked to, and drains at the end.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::DaemonError;
use crate::admin::{AdminListeners, Reload};
use crate::config::settings::ProcessConfig;
use crate::config::values::Seconds;
use crate::daemon::bind::{self, BoundPipe, RevokedKeys};
use crate::daemon::config_source::ConfigSource;
use crate::daemon::pipes::RunningPipes;
use crate::daemon::sd_notify::Supervisor;
use crate::log::{self, Class};
use crate::os::daemonize::Readiness;
use crate::os::os_error::os_error;
use crate::os::sandbox::SandboxReport;
use crate::os::signals::{Request, Requests};
use crate::pipe::registry::{Phase, Registry};

/// The daemon, once it is in the sandbox.
pub(super) struct Daemon {
    pub(super) process: ProcessConfig,
    pub(super) config_source: ConfigSource,
    pub(super) pipes: RunningPipes,
    pub(super) registry: Arc<Registry>,
    pub(super) supervisor: Supervisor,
}

/// What is to run from now on.
struct Wanted {
    bound: Vec<BoundPipe>,
    revoked: Vec<RevokedKeys>,
}

impl Daemon {
    /// Serves connections until it has been asked to end and the last of them has ended, or has had
    /// its time.
    pub(super) async fn serve(
        mut self,
        bound: Vec<BoundPipe>,
        listeners: AdminListeners,
        readiness: Option<Readiness>,
        report: Option<SandboxReport>,
    ) -> io::Result<()> {
        let mut requests = Requests::watch(self.process.foreground)?;
        let changes = self.pipes.reconcile(bound, &[]).await?;
        let (reloads, asked_to_reload) = mpsc::channel(1);
        listeners.open(&self.registry, reloads)?;
        self.registry.set_phase(Phase::Serving);
        // Before the process that was started goes away, which looks like the end to who does not know
        // the one that comes after it.
        self.supervisor.ready(changes).await;
        self.supervisor.keep_informed(self.pipes.workers());
        if let Some(readiness) = readiness {
            readiness.ready()?;
        }
        // Only now, so that nobody who waits for the daemon to be up gets to see it.
        if let Some(report) = report {
            log::notice(Class::Daemon, format_args!("{report}"));
        }
        self.obey(&mut requests, asked_to_reload).await;
        self.registry.set_phase(Phase::Draining);
        self.supervisor.stopping().await;
        let drained = self.pipes.drain(self.process.drain.map(Seconds::get));
        let left = tokio::select! {
            left = drained => left,
            () = requests.end() => requests.obey(),
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

    /// Reloads as often as it is asked to, until it is asked to end.
    async fn obey(&mut self, requests: &mut Requests, mut reloads: mpsc::Receiver<Reload>) {
        loop {
            let asked = tokio::select! {
                request = requests.next() => match request {
                    Request::End => return,
                    Request::Reload => None,
                },
                Some(asked) = reloads.recv() => Some(asked),
            };
            self.supervisor.reloading().await;
            let wanted = self.read_again();
            // A look-up that hangs must not keep it from ending.
            let wanted = tokio::select! {
                wanted = wanted => wanted,
                () = requests.end() => return,
            };
            let outcome = self.reload(wanted).await;
            if let Some(asked) = asked {
                // Whoever asked may be gone.
                let _ = asked.send(outcome);
            }
        }
    }

    /// Reads settings and keys again, and looks names up that no pipe knows.
    fn read_again(&self) -> impl Future<Output = Result<Wanted, DaemonError>> + use<> {
        let config_source = self.config_source.clone();
        let existing = self.pipes.existing();
        let from_stdin = self.pipes.key_from_stdin();
        let client_keys = self.pipes.client_keys();
        let read = move || {
            let pipes = config_source.read()?;
            let revoked = RevokedKeys::read_all(client_keys, &pipes);
            let pipes = bind::read_keys(pipes, from_stdin.as_ref())?;
            let mut bound = bind::bind_all(&pipes, &existing)?;
            if let Err(error) = BoundPipe::lock_keys(&mut bound) {
                log::warning(
                    Class::Daemon,
                    format_args!("keys are not in locked memory: {}", os_error(&error)),
                );
            }
            Ok(Wanted { bound, revoked })
        };
        // On a thread of its own, as those of the runtime may all wait for a resolver.
        let (outcome, done) = oneshot::channel();
        let thread = thread::Builder::new().name("reload".to_owned());
        let started = thread.spawn(move || outcome.send(read()));
        async {
            started?;
            done.await.map_err(io::Error::other)?
        }
    }

    /// Runs what was read; if it was wrong, what ran goes on. Gives what has changed, or all that is
    /// wrong.
    async fn reload(&mut self, wanted: Result<Wanted, DaemonError>) -> Result<String, Vec<String>> {
        let changes = match wanted {
            Ok(Wanted { bound, revoked }) => {
                let changes = self.pipes.reconcile(bound, &revoked).await;
                changes.map_err(DaemonError::from)
            }
            Err(error) => Err(error),
        };
        self.registry.count_reload(changes.is_ok());
        self.pipes.resolve_now();
        match changes {
            Ok(changes) => {
                log::notice(Class::Daemon, format_args!("reloaded: {changes}"));
                self.supervisor.ready(changes).await;
                Ok(changes.to_string())
            }
            Err(error) => {
                let lines = error.lines();
                for line in &lines {
                    log::error(
                        Class::Daemon,
                        format_args!("not reloaded, all goes on as before: {line}"),
                    );
                }
                let told = lines.join("; ");
                let what = format_args!("not reloaded, all goes on as before: {told}");
                self.supervisor.ready(what).await;
                Err(lines)
            }
        }
    }
}
