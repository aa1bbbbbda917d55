//! The daemon while it serves: it reloads when a signal or the control socket asks for it, and drains at
//! the end.

use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

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
use crate::os::signals::{Request, Requests};
use crate::os::system_error::{SystemError, cannot};
use crate::pipe::registry::{Phase, Registry};

/// How long a reload that still reads or looks up may go on once another is asked for.
const GRACE: Duration = Duration::from_secs(1);

/// The daemon, once it is in the sandbox.
pub(super) struct Daemon {
    pub(super) process: ProcessConfig,
    pub(super) config_source: ConfigSource,
    pub(super) pipes: RunningPipes,
    pub(super) registry: Arc<Registry>,
    pub(super) supervisor: Supervisor,
    /// The thread on which a reload reads and binds.
    pub(super) thread: BlockingThread,
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
        let mut requests =
            Requests::watch(self.process.foreground).map_err(cannot("watch for signals"))?;
        let changes = self
            .pipes
            .reconcile(bound)
            .await
            .map_err(cannot("serve what it listens on"))?;
        let (reloads, asked_to_reload) = mpsc::channel(1);
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
        self.obey(&mut requests, asked_to_reload).await;
        self.registry.set_phase(Phase::Draining);
        self.supervisor.stopping().await;
        let drained = self.pipes.drain(self.process.drain.map(Seconds::get));
        let left = tokio::select! {
            left = drained => left,
            () = requests.end() => requests.die_of_sigterm(),
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

    /// Carries out each request to reload, until a request to end comes.
    async fn obey(&mut self, requests: &mut Requests, mut reloads: mpsc::Receiver<Reload>) {
        // The requests of the control socket that this reload has to answer.
        let mut asked = Vec::new();
        // Whether another reload was asked for while this one ran, and the requests that wait for it.
        let (mut is_asked, mut later) = (false, Vec::new());
        loop {
            if !is_asked {
                tokio::select! {
                    request = requests.next() => match request {
                        Request::End => return,
                        Request::Reload => {}
                    },
                    Some(one) = reloads.recv() => asked.push(one),
                }
            }
            is_asked = false;
            self.supervisor.reloading().await;
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
                    Ok(None) => return,
                    Ok(Some(one)) => {
                        is_asked = true;
                        later.extend(one);
                        // The earlier reload gets a moment to be done; if it still waits for something
                        // then, it is given up for the later one.
                        tokio::select! {
                            prepared = prepared => Some(prepared),
                            () = tokio::time::sleep(GRACE) => None,
                            () = requests.end() => return,
                        }
                    }
                }
            };
            if let Some(prepared) = prepared {
                let outcome = self.reload(prepared).await;
                for asked in asked.drain(..) {
                    // The client may have closed its connection.
                    let _ = asked.send(outcome.clone());
                }
            }
            asked.append(&mut later);
        }
    }

    /// Begins to read settings and keys again, to look up names that no pipe has looked up, and to bind.
    fn prepare(&mut self) -> impl Future<Output = Result<Vec<BoundPipe>, DaemonError>> + use<> {
        let reload = reload::Reload {
            config_source: self.config_source.clone(),
            existing: self.pipes.existing(),
            running: self.pipes.running(),
            retired: self.pipes.retired(),
            resolver: self.pipes.resolver(),
            thread: self.thread.clone(),
        };
        reload.prepare()
    }

    /// Runs the pipes that were bound, or leaves all as it is if that failed. Logs and returns what has
    /// changed, or a line for each mistake.
    async fn reload(
        &mut self,
        prepared: Result<Vec<BoundPipe>, DaemonError>,
    ) -> Result<String, Vec<String>> {
        let changes = match prepared {
            Ok(bound) => {
                let changes = self.pipes.reconcile(bound).await;
                changes.map_err(|error| cannot("serve what it listens on")(error).into())
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
