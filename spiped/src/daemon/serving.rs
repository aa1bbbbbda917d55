//! The daemon while it serves: it reloads when a signal or the control socket asks for it, and drains at
//! the end. Connections may take days to end, so a reload still removes keys then.

use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::{DaemonError, reload};
use crate::admin::{AdminListeners, Reload};
use crate::config::settings::ProcessConfig;
use crate::config::values::Seconds;
use crate::daemon::bind::BoundPipe;
use crate::daemon::blocking_thread::BlockingThread;
use crate::daemon::config_source::ConfigSource;
use crate::daemon::pipes::RunningPipes;
use crate::daemon::resolver::Resolver;
use crate::daemon::sd_notify::Supervisor;
use crate::log::{self, Class};
use crate::os::daemonize::Readiness;
use crate::os::sandbox::SandboxReport;
use crate::os::signals::{HangUp, Request, Requests};
use crate::os::system_error::{SystemError, cannot};
use crate::pipe::registry::{Phase, Registry};

/// How long a reload that still reads or looks up may go on once another is asked for, or the last connection
/// has ended.
const GRACE: Duration = Duration::from_secs(1);

/// What a reload of a daemon that drains has done.
const KEYS_ALONE: &str =
    "only keys that are gone were removed, as the daemon ends once its connections have ended";

/// The daemon, once it is in the sandbox.
pub(super) struct Daemon {
    pub(super) process: ProcessConfig,
    pub(super) config_source: ConfigSource,
    pub(super) pipes: RunningPipes,
    pub(super) registry: Arc<Registry>,
    pub(super) supervisor: Supervisor,
    /// The thread on which a reload reads and binds.
    pub(super) thread: BlockingThread,
    /// What SIGHUP means.
    pub(super) hang_up: HangUp,
    /// Whether the daemon waits for its last connections to end.
    pub(super) is_draining: bool,
    /// Whether a reload is under way.
    pub(super) is_reloading: watch::Sender<bool>,
}

/// The first half of a reload.
enum Prepared {
    /// These pipes are to run.
    Pipes(Vec<BoundPipe>),
    /// The keys that are gone were removed. No pipe is to run any more.
    KeysRemoved,
}

/// A reload that was asked for and is not done.
#[derive(Default)]
struct Pending {
    is_asked: bool,
    /// The requests of the control socket that it has to answer.
    asked: Vec<Reload>,
}

impl Daemon {
    /// Serves connections until a signal asks the daemon to end, and then until the last of them has ended
    /// or the time of `--drain` is over.
    pub(super) async fn serve(
        mut self,
        bound: Vec<BoundPipe>,
        listeners: AdminListeners,
        readiness: Option<Readiness>,
        report: Option<SandboxReport>,
        lookups: Option<UnixStream>,
    ) -> Result<(), SystemError> {
        let resolver = lookups.map(Resolver::at).transpose();
        let resolver = resolver.map_err(cannot("ask the process that looks names up"))?;
        self.pipes.set_resolver(resolver.unwrap_or_default());
        let mut requests = Requests::watch(self.hang_up).map_err(cannot("watch for signals"))?;
        let changes = self
            .pipes
            .reconcile(bound)
            .await
            .map_err(cannot("serve what it listens on"))?;
        let (reloads, mut asked_to_reload) = mpsc::channel(1);
        listeners
            .open(&self.registry, reloads)
            .map_err(cannot("serve metrics and the control socket"))?;
        self.registry.set_phase(Phase::Serving);
        // Before the process that was started exits in favour of this one in the background: the
        // supervisor has to know this one by then, or takes that exit for the end of the daemon.
        self.supervisor.ready(changes).await;
        self.supervisor.keep_informed(self.pipes.workers());
        if let Some(readiness) = readiness {
            readiness.ready()?;
        }
        // Only now, so that the line is not shown to whoever has waited for the daemon to be up.
        if let Some(report) = report {
            log::notice(Class::Daemon, format_args!("{report}"));
        }
        let pending = self
            .obey(&mut requests, &mut asked_to_reload, Pending::default())
            .await;
        self.is_draining = true;
        self.registry.set_phase(Phase::Draining);
        self.supervisor.stopping().await;
        let drained = self.pipes.drain(self.process.drain.map(Seconds::get));
        let mut reloading = self.is_reloading.subscribe();
        let drained = async {
            let left = drained.await;
            if left == 0 {
                // A reload that has removed the key of the last connection gets a moment to say so.
                let done = reloading.wait_for(|is_reloading| !is_reloading);
                let _ = tokio::time::timeout(GRACE, done).await;
            }
            left
        };
        let left = tokio::select! {
            left = drained => left,
            _ = self.obey(&mut requests, &mut asked_to_reload, pending) => {
                requests.die_of_sigterm()
            }
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

    /// Carries out the `pending` reload and each that is asked for, until a request to end comes. Returns the
    /// one that is not done by then.
    async fn obey(
        &mut self,
        requests: &mut Requests,
        reloads: &mut mpsc::Receiver<Reload>,
        mut pending: Pending,
    ) -> Pending {
        loop {
            if !pending.is_asked {
                tokio::select! {
                    request = requests.next() => match request {
                        Request::End => return pending,
                        Request::Reload => {}
                    },
                    Some(one) = reloads.recv() => pending.asked.push(one),
                }
                pending.is_asked = true;
            }
            self.is_reloading.send_replace(true);
            if !self.is_draining {
                self.supervisor.reloading().await;
            }
            // Another reload that was asked for while this one ran.
            let mut later = Pending::default();
            let prepared = {
                let mut prepared = pin!(self.prepare());
                let newer = async {
                    let one = tokio::select! {
                        request = requests.next() => match request {
                            Request::End => return None,
                            Request::Reload => None,
                        },
                        Some(one) = reloads.recv() => Some(one),
                    };
                    Some(one)
                };
                let newer = tokio::select! {
                    biased;
                    prepared = &mut prepared => Err(prepared),
                    newer = newer => Ok(newer),
                };
                match newer {
                    Err(prepared) => Some(prepared),
                    Ok(None) => return pending,
                    Ok(Some(one)) => {
                        later.is_asked = true;
                        later.asked.extend(one);
                        // The earlier reload gets a moment to be done; if it still waits for something
                        // then, it is given up for the later one.
                        tokio::select! {
                            prepared = prepared => Some(prepared),
                            () = tokio::time::sleep(GRACE) => None,
                            () = requests.end() => {
                                pending.asked.append(&mut later.asked);
                                return pending;
                            }
                        }
                    }
                }
            };
            if let Some(prepared) = prepared {
                let outcome = self.reload(prepared).await;
                for asked in pending.asked.drain(..) {
                    // The client may have closed its connection.
                    let _ = asked.send(outcome.clone());
                }
                // The tasks of the control socket write the answers, even if the daemon ends now.
                tokio::task::yield_now().await;
            }
            self.is_reloading.send_replace(false);
            pending.is_asked = later.is_asked;
            pending.asked.append(&mut later.asked);
        }
    }

    /// Begins to read settings and keys again, to look up names that no pipe has looked up, and to bind. A
    /// daemon that drains only removes the keys that are gone.
    fn prepare(&mut self) -> impl Future<Output = Result<Prepared, DaemonError>> + use<> {
        let reload = reload::Reload {
            config_source: self.config_source.clone(),
            existing: self.pipes.existing(),
            running: self.pipes.running(),
            retired: self.pipes.retired(),
            resolver: self.pipes.resolver(),
            thread: self.thread.clone(),
        };
        let is_draining = self.is_draining;
        async move {
            Ok(match is_draining {
                false => Prepared::Pipes(reload.prepare().await?),
                true => {
                    reload.remove_keys().await?;
                    Prepared::KeysRemoved
                }
            })
        }
    }

    /// Runs the pipes that were bound, or leaves all as it is if that failed. Logs and returns what has
    /// changed, or a line for each mistake.
    async fn reload(
        &mut self,
        prepared: Result<Prepared, DaemonError>,
    ) -> Result<String, Vec<String>> {
        let outcome = match prepared {
            Ok(Prepared::Pipes(bound)) => {
                let changes = self.pipes.reconcile(bound).await;
                let changes = changes.map_err(cannot("serve what it listens on"));
                changes
                    .map(|changes| changes.to_string())
                    .map_err(DaemonError::from)
            }
            Ok(Prepared::KeysRemoved) => Ok(KEYS_ALONE.to_owned()),
            Err(error) => Err(error),
        };
        let outcome = outcome.map_err(|error| error.lines());
        self.registry.count_reload(outcome.is_ok());
        self.pipes.resolve_now();
        let told = match &outcome {
            Ok(changes) => {
                log::notice(Class::Daemon, format_args!("reloaded: {changes}"));
                changes.clone()
            }
            Err(lines) => {
                let failed = "not reloaded, all goes on as before";
                for line in lines {
                    log::error(Class::Daemon, format_args!("{failed}: {line}"));
                }
                format!("{failed}: {}", lines.join("; "))
            }
        };
        if !self.is_draining {
            self.supervisor.ready(told).await;
        }
        outcome
    }
}
