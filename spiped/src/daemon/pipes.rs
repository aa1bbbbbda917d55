//! The pipes that run: starts them, replaces them in a reload while their connections go on, and ends them.

mod changes;
mod reresolve;
mod running_pipe;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use spiped_tokio::{Endpoint, Handshaker, KeyExchangePool};
use tokio::sync::watch;

use crate::config::settings::PipeConfig;
use crate::daemon::bind::{BoundPipe, ExistingState, RunningListener};
use crate::daemon::resolver::Resolver;
use crate::keys::{Keys, KeysSource};
use crate::os::fd_limit::FdLimit;
use crate::pipe::accept::Acceptor;
use crate::pipe::admission::{Limits, Shares};
use crate::pipe::connection::ConnectionHandler;
use crate::pipe::registry::{PipeEntry, Registry};
use crate::pipe::state::PipeState;
use crate::pipe::target::{Target, Targets};
use crate::pipe::task;
use crate::pipe::workers::Workers;
use running_pipe::{RunningPipe, Starting};

pub use changes::Changes;

/// All pipes that run, with the resources that they share.
#[derive(Debug)]
pub struct RunningPipes {
    pipes: BTreeMap<Arc<str>, RunningPipe>,
    registry: Arc<Registry>,
    /// The keys of pipes that were removed, as long as connections that began with them are open.
    retired: Vec<(KeysSource, Keys)>,
    /// The pipes that ran until the daemon began to drain.
    ended: Vec<(PipeConfig, Keys)>,
    fd_limit: FdLimit,
    key_exchange: KeyExchangePool,
    workers: Arc<Workers>,
    resolver: Resolver,
    /// Sent to when every name is to be looked up again at once.
    resolve_now: watch::Sender<()>,
}

impl RunningPipes {
    /// Makes the set without any pipe. Pipes that are started later are entered in `registry`.
    #[must_use]
    pub fn new(
        fd_limit: FdLimit,
        key_exchange: KeyExchangePool,
        workers: Arc<Workers>,
        registry: Arc<Registry>,
    ) -> Self {
        Self {
            pipes: BTreeMap::new(),
            registry,
            retired: Vec::new(),
            ended: Vec::new(),
            fd_limit,
            key_exchange,
            workers,
            resolver: Resolver::default(),
            resolve_now: watch::Sender::default(),
        }
    }

    /// Has names looked up by `resolver` from now on, and not by this process.
    pub fn set_resolver(&mut self, resolver: Resolver) {
        self.resolver = resolver;
    }

    /// Returns the resolver that looks names up.
    #[must_use]
    pub fn resolver(&self) -> Resolver {
        self.resolver.clone()
    }

    /// Returns the threads that serve connections.
    #[must_use]
    pub fn workers(&self) -> Arc<Workers> {
        Arc::clone(&self.workers)
    }

    /// Returns the sockets that pipes listen on now, and where their names lead.
    #[must_use]
    pub fn existing(&self) -> ExistingState {
        let mut existing = ExistingState::default();
        let mut pipes: Vec<_> = self.pipes.values().collect();
        // The cache keeps what was added last: the addresses of pipes that look names up again.
        pipes.sort_by_key(|pipe| pipe.config.connection.resolve_interval.is_some());
        for pipe in pipes {
            let listener = pipe.listener.borrow();
            if let Ok(endpoint) = listener.local_endpoint() {
                existing.running.push(RunningListener {
                    source: pipe.config.source.clone(),
                    endpoint,
                    listener: Arc::downgrade(&listener),
                });
            }
            let handler = &pipe.acceptor.handler;
            let cache = &mut existing.resolver_cache;
            for target in handler.targets.all() {
                cache.add(target.address(), target.endpoints().get().iter().cloned());
            }
            if let Some(bind) = &pipe.config.bind {
                let addresses = handler.bind.get();
                cache.add(bind.address(), addresses.iter().copied().map(Endpoint::Tcp));
            }
        }
        existing
    }

    /// Returns the pipes that run, or ran until the daemon began to drain, with their keys.
    #[must_use]
    pub fn running(&self) -> Vec<(PipeConfig, Keys)> {
        let pipes = self.pipes.values();
        pipes
            .map(|pipe| (pipe.config.clone(), pipe.keys.clone()))
            .chain(self.ended.iter().cloned())
            .collect()
    }

    /// Returns the keys of pipes that were removed and still have connections, each with its key files.
    #[must_use]
    pub fn retired(&mut self) -> Vec<(KeysSource, Keys)> {
        self.retired.retain(|(_, keys)| keys.is_in_use());
        self.retired.clone()
    }

    /// Runs the pipes in `wanted` and no others. A pipe that runs already as it should is left alone.
    /// Connections go on and count for the limits of the pipe of that name, except those of clients
    /// whose key is gone.
    ///
    /// # Errors
    ///
    /// The runtime cannot watch a socket. Then nothing has changed.
    pub async fn reconcile(&mut self, wanted: Vec<BoundPipe>) -> io::Result<Changes> {
        let shares = Shares::among(wanted.iter().map(|pipe| &pipe.config), self.fd_limit);
        let starting = wanted.into_iter().map(|bound| self.register(bound));
        let starting = starting.collect::<io::Result<Vec<_>>>()?;
        let mut changes = Changes {
            pipes: starting.len(),
            ..Changes::default()
        };
        let mut before = std::mem::take(&mut self.pipes);
        for mut new in starting {
            let name = Arc::clone(&new.config.name);
            let state = self.state(&name, Limits::new(&new.config, shares));
            let pipe = match before.remove(&name) {
                None => {
                    changes.added += 1;
                    self.start(new, &state, &[])
                }
                Some(mut old) if old.is_same(&new) => {
                    old.set_is_loop(new.is_loop);
                    old.keys.set_origins_from(new.keys);
                    old
                }
                Some(old) => {
                    changes.changed += 1;
                    let gone = new.keys.replace(&old.keys);
                    let targets = Arc::clone(&old.acceptor.handler.targets);
                    old.end().await;
                    for key in gone {
                        key.remove();
                    }
                    self.start(new, &state, targets.all())
                }
            };
            state.stats.keep_clients(&pipe.keys);
            self.registry.insert(PipeEntry {
                config: pipe.config.clone(),
                removed: false,
                state,
                targets: Arc::clone(&pipe.acceptor.handler.targets),
            });
            self.pipes.insert(name, pipe);
        }
        changes.removed = before.len();
        for (name, old) in before {
            self.registry.remove(&name);
            self.retired
                .push((old.config.key.clone(), old.keys.clone()));
            old.end().await;
        }
        Ok(changes)
    }

    /// Takes over the listener of a pipe with the same source, which may have moved since the new one
    /// was bound; else registers the new listener with the event loop of a worker.
    fn register(&self, bound: BoundPipe) -> io::Result<Starting> {
        let source = &bound.config.source;
        let same = self.pipes.values().find(|old| old.config.source == *source);
        let (listener, events) = match same {
            Some(old) => (Arc::clone(&old.listener.borrow()), old.events.clone()),
            None => {
                let events = self.workers.events();
                let _current = events.enter();
                let listener = bound.listening.start()?;
                // A pipe with another source may have registered it.
                let mut pipes = self.pipes.values();
                let old = pipes.find(|old| Arc::ptr_eq(&old.listener.borrow(), &listener));
                (listener, old.map_or(events, |old| &old.events).clone())
            }
        };
        Ok(Starting {
            config: bound.config,
            keys: bound.keys,
            targets: bound.targets,
            bind: bound.bind,
            is_loop: bound.is_loop,
            listener,
            events,
        })
    }

    /// Looks all names up again at once.
    pub fn resolve_now(&self) {
        self.resolve_now.send_replace(());
    }

    /// Returns the state of the pipe called `name`, with new limits.
    fn state(&self, name: &Arc<str>, limits: Limits) -> Arc<PipeState> {
        match self.registry.find(name) {
            Some(state) => {
                state.admission.set_limits(limits);
                state
            }
            None => Arc::new(PipeState::new(Arc::clone(name), limits)),
        }
    }

    /// Starts a pipe. A target that is among `known`, the targets of the pipe before it, keeps its addresses
    /// and its standing.
    fn start(&self, new: Starting, state: &Arc<PipeState>, known: &[Arc<Target>]) -> RunningPipe {
        let Starting { config, keys, .. } = new;
        let targets = config.targets.iter().cloned().zip(new.targets);
        let targets = targets.map(|(address, endpoints)| {
            let known = known.iter().find(|target| *target.address() == address);
            let new = || Arc::new(Target::new(address.clone(), endpoints));
            known.map_or_else(new, Arc::clone)
        });
        let targets = Targets::new(Arc::clone(&config.name), targets, config.balance);
        let handler = ConnectionHandler {
            targets: Arc::new(targets),
            bind: new.bind.into(),
            handshaker: Handshaker::with_pool(keys.ring(), self.key_exchange.clone())
                .with_config(config.connection.handshake),
            keys: keys.clone(),
            is_loop: new.is_loop.into(),
            config: config.connection.clone(),
        };
        let acceptor = Arc::new(Acceptor {
            name: Arc::clone(&config.name),
            mode: config.mode,
            handler,
            state: Arc::clone(state),
            workers: Arc::clone(&self.workers),
        });
        let (listener, current) = watch::channel(new.listener);
        let events = new.events;
        let accepting = {
            let acceptor = Arc::clone(&acceptor);
            task::forever(move || Arc::clone(&acceptor).accept(current.clone()))
        };
        let accepting = events.spawn(accepting);
        let reresolving = reresolve::start(
            &acceptor,
            &config,
            &listener,
            &events,
            &self.resolver,
            &self.resolve_now,
        );
        RunningPipe {
            config,
            keys,
            acceptor,
            listener,
            events,
            accepting,
            reresolving,
        }
    }

    /// Stops accepting, and closes the sockets that listen; then waits until the last connection has
    /// ended, but no longer than `patience`. Returns how many connections are open then.
    pub fn drain(&mut self, patience: Option<Duration>) -> impl Future<Output = usize> + use<> {
        self.ended = self.running();
        let pipes = std::mem::take(&mut self.pipes);
        let workers = Arc::clone(&self.workers);
        async move {
            let drained = async {
                for pipe in pipes.into_values() {
                    pipe.end().await;
                }
                workers.no_connections().await;
            };
            match patience {
                None => drained.await,
                // If the time runs out, the count below is not 0.
                Some(patience) => drop(tokio::time::timeout(patience, drained).await),
            }
            workers.open_connections()
        }
    }
}
