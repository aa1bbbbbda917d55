//! Looks names up again while pipes run: once in each interval of `-r`, and at once after a reload.
//! The pipes then use the new addresses.

use std::sync::Arc;
use std::time::Duration;

use spiped_tokio::{Address, BindAddress, Endpoint, Listener};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::settings::PipeConfig;
use crate::config::setup::SetupError;
use crate::daemon::bind::may_stay;
use crate::daemon::resolver::Resolver;
use crate::log::{self, Class, Level};
use crate::pipe::accept::Acceptor;
use crate::pipe::task;

/// Says when a name is looked up again.
#[derive(Clone)]
struct Pace {
    interval: Duration,
    /// Ends the interval early.
    now: watch::Receiver<()>,
}

impl Pace {
    /// Waits until the next look-up is due.
    async fn next(&mut self) {
        tokio::select! {
            () = tokio::time::sleep(self.interval) => {}
            Ok(()) = self.now.changed() => {}
        }
    }
}

/// Starts a task for each name of a pipe, which looks it up again until the task is aborted.
pub(super) fn start(
    acceptor: &Arc<Acceptor>,
    config: &PipeConfig,
    listener: &watch::Sender<Arc<Listener>>,
    events: &Handle,
    resolver: &Resolver,
    resolve_now: &watch::Sender<()>,
) -> Vec<JoinHandle<()>> {
    let Some(interval) = config.connection.resolve_interval else {
        return Vec::new();
    };
    let pace = || Pace {
        interval,
        now: resolve_now.subscribe(),
    };
    // A task for each name, so that a panic in one ends no other.
    let follow = |address: &Address, hand_on: Arc<dyn Fn(Vec<Endpoint>) + Send + Sync>| {
        let (name, address) = (Arc::clone(&config.name), address.clone());
        let (resolver, pace) = (resolver.clone(), pace());
        task::forever(move || {
            let (name, address) = (Arc::clone(&name), address.clone());
            repeat(
                name,
                address,
                pace.clone(),
                resolver.clone(),
                Arc::clone(&hand_on),
            )
        })
    };
    let targets = acceptor.handler.targets.all().iter();
    let targets = targets.filter(|target| target.address().is_name());
    let mut tasks: Vec<_> = targets
        .map(|target| {
            let known = Arc::clone(target);
            let hand_on = move |found| known.endpoints().replace(found);
            tokio::spawn(follow(target.address(), Arc::new(hand_on)))
        })
        .collect();
    let bind = config.bind.as_ref().map(BindAddress::address);
    if let Some(bind) = bind.filter(|bind| bind.is_name()) {
        let acceptor = Arc::clone(acceptor);
        let hand_on = move |found: Vec<Endpoint>| {
            let found = found.iter().filter_map(Endpoint::tcp);
            acceptor.handler.bind.replace(found.collect());
        };
        tasks.push(tokio::spawn(follow(bind, Arc::new(hand_on))));
    }
    if config.source.is_name() {
        let (config, listener) = (config.clone(), listener.clone());
        let (resolver, pace, events) = (resolver.clone(), pace(), events.clone());
        tasks.push(tokio::spawn(task::forever(move || {
            let (config, listener) = (config.clone(), listener.clone());
            follow_source(
                config,
                pace.clone(),
                listener,
                events.clone(),
                resolver.clone(),
            )
        })));
    }
    tasks
}

/// Looks the name of a source up again and again, and listens where it leads.
async fn follow_source(
    config: PipeConfig,
    mut pace: Pace,
    current: watch::Sender<Arc<Listener>>,
    events: Handle,
    resolver: Resolver,
) {
    loop {
        pace.next().await;
        if let Err(error) = move_source(&config, &current, &events, &resolver).await {
            log::event(
                Level::Warning,
                Class::Lookup,
                format_args!("listening on as before: {error}"),
                |fields| fields.text("pipe", &config.name),
            );
        }
    }
}

/// Looks the name of a source up once. If no address that it leads to is the one listened on, listens on the
/// first of them instead.
async fn move_source(
    config: &PipeConfig,
    current: &watch::Sender<Arc<Listener>>,
    events: &Handle,
    resolver: &Resolver,
) -> Result<(), SetupError> {
    let source = &config.source;
    let found = resolver.resolve(source).await;
    let found = found.map_err(|error| SetupError::resolve("source", source, error))?;
    let here = current.borrow().local_endpoint().ok();
    let stays = |wanted| here.as_ref().is_some_and(|here| may_stay(wanted, here));
    let Some(endpoint) = found.first().filter(|_| !found.iter().any(stays)) else {
        return Ok(());
    };
    let listener = {
        let _current = events.enter();
        Listener::bind(endpoint)
    };
    let listener = listener.map_err(|error| SetupError::listen(endpoint, error))?;
    log::event(
        Level::Notice,
        Class::Daemon,
        format_args!("{source} has moved: listening on {endpoint} from now on"),
        |fields| fields.text("pipe", &config.name),
    );
    current.send_replace(Arc::new(listener));
    Ok(())
}

/// Looks an address of a pipe up again and again, and calls `hand_on` with the endpoints.
async fn repeat(
    pipe: Arc<str>,
    address: Address,
    mut pace: Pace,
    resolver: Resolver,
    hand_on: Arc<dyn Fn(Vec<Endpoint>) + Send + Sync>,
) {
    loop {
        pace.next().await;
        match resolver.resolve(&address).await {
            Ok(found) => hand_on(found),
            Err(error) => log::event(
                Level::Warning,
                Class::Lookup,
                format_args!("cannot resolve {address}, keeping its last addresses: {error}"),
                |fields| fields.text("pipe", &pipe),
            ),
        }
    }
}
