//! The pipes of a process: started, changed while connections run, and ended.

mod reresolve;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use spiped_tokio::{Endpoint, Handshaker, KeyExchangePool, Listener};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::settings::PipeConfig;
use crate::daemon::bind::{BoundPipe, ExistingState, KeyedPipe, RevokedKeys, RunningListener};
use crate::keys::keyfile::KeySource;
use crate::keys::{Keys, KeysSource};
use crate::os::fd_limit::FdLimit;
use crate::pipe::accept::Pipe;
use crate::pipe::admission::{Admission, Limits, Shares};
use crate::pipe::connection::ConnectionHandler;
use crate::pipe::registry::{PipeEntry, Registry};
use crate::pipe::stats::PipeStats;
use crate::pipe::target::{Target, Targets};
use crate::pipe::workers::Workers;

/// All pipes that run.
#[derive(Debug)]
pub struct RunningPipes {
    pipes: BTreeMap<Arc<str>, RunningPipe>,
    registry: Arc<Registry>,
    /// Pipes that are gone, as long as they have connections.
    retired: Vec<KeyedPipe>,
    descriptors: FdLimit,
    key_exchange: KeyExchangePool,
    workers: Arc<Workers>,
    /// Whoever looks names up is told here to do so at once.
    again: watch::Sender<()>,
}

/// One of them.
#[derive(Debug)]
struct RunningPipe {
    keyed: KeyedPipe,
    pipe: Arc<Pipe>,
    listener: watch::Sender<Arc<Listener>>,
    /// Where the listener is watched and accepted from.
    events: Handle,
    accepting: JoinHandle<()>,
    /// What looks its names up again and again.
    reresolving: Vec<JoinHandle<()>>,
}

/// What one is made of.
struct Ready {
    keyed: KeyedPipe,
    /// Those of each target.
    targets: Vec<Vec<Endpoint>>,
    bind: Vec<SocketAddr>,
    listener: Arc<Listener>,
    events: Handle,
}

/// What a reload has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Pipes that there are now.
    pub pipes: usize,
    /// Those that were not there before.
    pub added: usize,
    /// Those that are not the same as before.
    pub changed: usize,
    /// Those that are not there any more.
    pub removed: usize,
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pipes,
            added,
            changed,
            removed,
        } = self;
        let noun = if *pipes == 1 { "pipe" } else { "pipes" };
        write!(
            f,
            "{pipes} {noun}: {added} added, {changed} changed, {removed} removed"
        )
    }
}

impl RunningPipes {
    /// No pipe yet. Those that come are entered in the registry.
    #[must_use]
    pub fn new(
        descriptors: FdLimit,
        key_exchange: KeyExchangePool,
        workers: Arc<Workers>,
        registry: Arc<Registry>,
    ) -> Self {
        Self {
            pipes: BTreeMap::new(),
            registry,
            retired: Vec::new(),
            descriptors,
            key_exchange,
            workers,
            again: watch::Sender::default(),
        }
    }

    /// The threads that serve connections.
    #[must_use]
    pub fn workers(&self) -> Arc<Workers> {
        Arc::clone(&self.workers)
    }

    /// The sockets that pipes listen on now, and where their names lead.
    #[must_use]
    pub fn existing(&self) -> ExistingState {
        let mut existing = ExistingState::default();
        let mut running: Vec<_> = self.pipes.values().collect();
        // Those that look names up again know better, and are asked last.
        running.sort_by_key(|running_pipe| {
            running_pipe
                .keyed
                .settings
                .connection
                .resolve_interval
                .is_some()
        });
        for running_pipe in running {
            let listener = running_pipe.listener.borrow();
            if let Ok(endpoint) = listener.local_endpoint() {
                existing.running.push(RunningListener {
                    source: running_pipe.keyed.settings.source.clone(),
                    endpoint,
                    listener: Arc::downgrade(&listener),
                });
            }
            let handler = running_pipe.pipe.handler();
            for target in handler.targets.all() {
                let found = target.endpoints().get();
                existing
                    .resolver_cache
                    .add(target.address(), found.iter().cloned());
            }
            if let Some(bind) = &running_pipe.keyed.settings.bind {
                let found = handler.bind.get();
                let found = found.iter().copied().map(Endpoint::Tcp);
                existing.resolver_cache.add(bind.address(), found);
            }
        }
        existing
    }

    /// Where the keys are of all clients that have or may have connections.
    #[must_use]
    pub fn client_keys(&self) -> Vec<KeysSource> {
        let mut sources = Vec::new();
        let all = self.pipes.values().map(|running_pipe| &running_pipe.keyed);
        for keyed in all.chain(&self.retired) {
            let source = &keyed.settings.key;
            if keyed.keys.has_clients() && !sources.contains(source) {
                sources.push(source.clone());
            }
        }
        sources
    }

    /// The key that was read from standard input, if one was.
    #[must_use]
    pub fn key_from_stdin(&self) -> Option<Keys> {
        let mut all = self.pipes.values().map(|running_pipe| &running_pipe.keyed);
        let keyed = all.find(|keyed| keyed.settings.key == KeySource::Stdin.into())?;
        Some(keyed.keys.clone())
    }

    /// Runs these pipes and no others. One that runs already as it should is left alone; connections
    /// go on, except those of clients whose key is gone, also from what is left of such keys. They
    /// count for the limits of the pipe of that name.
    ///
    /// # Errors
    ///
    /// The runtime cannot watch a socket. Then nothing has changed.
    pub async fn reconcile(
        &mut self,
        wanted: Vec<BoundPipe>,
        revoked: &[RevokedKeys],
    ) -> io::Result<Changes> {
        let settings = wanted.iter().map(|pipe| &pipe.keyed.settings);
        let shares = Shares::among(settings, self.descriptors);
        let started = wanted.into_iter().map(|pipe| self.ready(pipe));
        let started = started.collect::<io::Result<Vec<_>>>()?;
        let mut changes = Changes {
            pipes: started.len(),
            ..Changes::default()
        };
        let mut before = std::mem::take(&mut self.pipes);
        for mut ready in started {
            let name = Arc::clone(&ready.keyed.settings.name);
            let limits = Limits::new(&ready.keyed.settings, shares);
            let (stats, admission) = self.stats_and_admission(&ready.keyed.settings, limits);
            let running_pipe = match before.remove(&name) {
                None => {
                    changes.added += 1;
                    self.running_pipe(ready, &stats, &admission, &[])
                }
                Some(running_pipe) if running_pipe.is(&ready) => running_pipe,
                Some(running_pipe) => {
                    changes.changed += 1;
                    let gone = ready.keyed.keys.replace(&running_pipe.keyed.keys);
                    let before = Arc::clone(&running_pipe.pipe);
                    running_pipe.end().await;
                    gone.iter().for_each(|key| key.remove());
                    self.running_pipe(ready, &stats, &admission, before.handler().targets.all())
                }
            };
            self.registry.insert(PipeEntry {
                settings: running_pipe.keyed.settings.clone(),
                removed: false,
                stats,
                admission,
                targets: Arc::clone(&running_pipe.pipe.handler().targets),
            });
            self.pipes.insert(name, running_pipe);
        }
        changes.removed = before.len();
        for (name, running_pipe) in before {
            self.registry.remove(&name);
            self.retired.push(running_pipe.keyed.clone());
            running_pipe.end().await;
        }
        self.revoke(revoked);
        Ok(changes)
    }

    /// Takes the socket of a pipe with the same source, which may have moved since that was prepared.
    fn ready(&self, bound: BoundPipe) -> io::Result<Ready> {
        let source = &bound.keyed.settings.source;
        let mut running = self.pipes.values();
        let same = running.find(|running_pipe| running_pipe.keyed.settings.source == *source);
        let (listener, events) = match same {
            Some(running_pipe) => (
                Arc::clone(&running_pipe.listener.borrow()),
                running_pipe.events.clone(),
            ),
            None => {
                let events = self.workers.events();
                let _current = events.enter();
                let listener = bound.listening.start()?;
                // It may have been another pipe's.
                let mut running = self.pipes.values();
                let of = running
                    .find(|running_pipe| Arc::ptr_eq(&running_pipe.listener.borrow(), &listener));
                (
                    listener,
                    of.map_or(events, |running_pipe| &running_pipe.events)
                        .clone(),
                )
            }
        };
        Ok(Ready {
            keyed: bound.keyed,
            targets: bound.targets,
            bind: bound.bind,
            listener,
            events,
        })
    }

    /// Has all names looked up again at once.
    pub fn look_up_again(&self) {
        self.again.send_replace(());
    }

    /// Ends connections of pipes that are gone whose key is not where it was any more; another pipe may
    /// have the same keys.
    fn revoke(&mut self, revoked: &[RevokedKeys]) {
        self.retired.retain(|keyed| keyed.keys.is_in_use());
        let running = self.pipes.values().map(|running_pipe| &running_pipe.keyed);
        let running = running.map(|keyed| (&keyed.settings.key, &keyed.keys));
        let revoked = revoked.iter().map(|keys| (&keys.source, &keys.keys));
        let sources: Vec<_> = running.chain(revoked).collect();
        for old in &self.retired {
            let mut now = sources.iter();
            if let Some((_, now)) = now.find(|(source, _)| **source == old.settings.key) {
                let gone = (*now).clone().replace(&old.keys);
                gone.iter().for_each(|key| key.remove());
            }
        }
    }

    /// The books and the gate of a pipe: those of one of its name if there was one.
    fn stats_and_admission(
        &self,
        settings: &PipeConfig,
        limits: Limits,
    ) -> (Arc<PipeStats>, Arc<Admission>) {
        match self.registry.find(&settings.name) {
            Some((stats, admission)) => {
                admission.set_limits(limits);
                (stats, admission)
            }
            None => {
                let name = Arc::clone(&settings.name);
                (Arc::default(), Arc::new(Admission::new(name, limits)))
            }
        }
    }

    /// A pipe that starts to run. What is known of targets stays known.
    fn running_pipe(
        &self,
        ready: Ready,
        stats: &Arc<PipeStats>,
        admission: &Arc<Admission>,
        before: &[Arc<Target>],
    ) -> RunningPipe {
        let KeyedPipe { settings, keys } = ready.keyed.clone();
        let name = || Arc::clone(&settings.name);
        let targets = settings.targets.iter().cloned().zip(ready.targets);
        let targets = targets.map(|(address, endpoints)| {
            let resolver_cache = before.iter().find(|target| *target.address() == address);
            let new = || Arc::new(Target::new(address.clone(), endpoints));
            resolver_cache.map_or_else(new, Arc::clone)
        });
        let handler = ConnectionHandler {
            targets: Arc::new(Targets::new(name(), targets, settings.balance)),
            bind: ready.bind.into(),
            handshaker: Handshaker::with_pool(keys.ring(), self.key_exchange.clone())
                .with_forward_secrecy(settings.connection.forward_secrecy),
            keys,
            config: settings.connection.clone(),
        };
        let (stats, admission) = (Arc::clone(stats), Arc::clone(admission));
        let workers = Arc::clone(&self.workers);
        let pipe = Pipe::new(name(), settings.mode, handler, admission, stats, workers);
        let pipe = Arc::new(pipe);
        let (listener, current) = watch::channel(ready.listener);
        let accepting = Arc::clone(&pipe).accept(current);
        let events = ready.events;
        let accepting = events.spawn(accepting);
        let reresolving = reresolve::start(&pipe, &settings, &listener, &events, &self.again);
        RunningPipe {
            keyed: ready.keyed,
            pipe,
            listener,
            events,
            accepting,
            reresolving,
        }
    }

    /// Stops accepting, and closes the sockets that listen; then waits until the last connection has
    /// ended, or until `patience` is over. Says how many go on then, until the runtime ends.
    pub async fn drain(mut self, patience: Option<Duration>) -> usize {
        let running = std::mem::take(&mut self.pipes);
        let drained = async {
            for running_pipe in running.into_values() {
                running_pipe.end().await;
            }
            self.workers.no_connections().await;
        };
        match patience {
            None => drained.await,
            // Whether it was in time is seen from the count.
            Some(patience) => drop(tokio::time::timeout(patience, drained).await),
        }
        self.workers.open_connections()
    }
}

impl RunningPipe {
    /// Whether it is what is wanted already.
    fn is(&self, wanted: &Ready) -> bool {
        self.keyed.settings == wanted.keyed.settings
            && self.keyed.keys.is_same(&wanted.keyed.keys)
            && Arc::ptr_eq(&self.listener.borrow(), &wanted.listener)
    }

    /// Stops accepting; connections go on.
    async fn end(self) {
        for task in self.reresolving.iter().chain([&self.accepting]) {
            task.abort();
        }
        // The socket is closed with the task, not before.
        let _ = self.accepting.await;
    }
}
