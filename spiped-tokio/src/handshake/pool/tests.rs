use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use spiped_proto::{Entropy, HandshakeConfig, Keyring, Secret};

use tokio::io::{AsyncWriteExt, duplex};

use super::*;
use crate::handshake::Handshaker;

const PATIENCE: Duration = Duration::from_secs(60);
const FLOOD: usize = 1000;

/// Plays an end of a handshake, whose peer says anything, until there is something to compute.
fn computation(mut step: Step) -> Computation {
    loop {
        step = match step {
            Step::Send(outgoing) => outgoing.sent(),
            Step::Receive(incoming) => {
                let said = vec![7; incoming.missing()];
                incoming.feed(&said).unwrap().1
            }
            Step::Compute(computation) => return computation,
            other => panic!("there is nothing to compute: {other:?}"),
        };
    }
}

fn entropy() -> Entropy {
    Entropy::take(&mut [7; Entropy::LEN])
}

fn exchange() -> Computation {
    let secret = Secret::from_key_file(b"key");
    computation(Step::client(&secret, HandshakeConfig::default(), entropy()))
}

fn keys() -> Keyring {
    let key = |number: usize| Secret::from_key_file(&number.to_be_bytes());
    (0..300).map(key).collect()
}

/// A pool without threads, for which [`serve`](Scene::serve) does the work.
struct Scene {
    pool: KeyExchangePool,
    keys: Keyring,
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, HandshakeError>> + 'a>>;
type Running<'a> = Boxed<'a, Step>;
type Proving<'a> = Boxed<'a, ()>;

impl Scene {
    fn new() -> Self {
        Self {
            pool: KeyExchangePool::with_threads(0, true),
            keys: keys(),
        }
    }

    fn start(&self, computation: Computation, source: Option<IpAddr>) -> Running<'_> {
        let mut running: Running<'_> = Box::pin(self.pool.run(computation, source));
        assert!(!is_done(&mut running));
        running
    }

    /// Has the keys tried for a stranger.
    fn stranger(&self, source: Option<IpAddr>) -> Running<'_> {
        let step = Step::server(&self.keys, HandshakeConfig::default(), entropy());
        let trial = computation(step);
        assert!(trial.is_for_stranger());
        self.start(trial, source)
    }

    fn strangers(&self, count: usize, source: Option<IpAddr>) -> Vec<Running<'_>> {
        (0..count).map(|_| self.stranger(source)).collect()
    }

    /// Does what is next.
    fn serve(&self) {
        let job = self.pool.0.queue.lock().take();
        job.unwrap().work();
    }

    fn is_empty(&self) -> bool {
        self.pool.0.queue.lock().take().is_none()
    }
}

fn is_done(running: &mut Running<'_>) -> bool {
    matches!(poll(running), Poll::Ready(step) if step.is_ok())
}

fn poll<T>(running: &mut Boxed<'_, T>) -> Poll<Result<T, HandshakeError>> {
    let context = &mut Context::from_waker(Waker::noop());
    running.as_mut().poll(context)
}

fn source(number: u8) -> Option<IpAddr> {
    Some(Ipv4Addr::new(192, 0, 2, number).into())
}

#[tokio::test]
async fn computations_are_done_and_the_threads_end_with_the_pool() {
    let pool = KeyExchangePool::new();
    for _ in 0..3 {
        let step = pool.run(exchange(), None).await.unwrap();
        assert!(matches!(step, Step::Receive(_)), "{step:?}");
    }
    let queue = Arc::downgrade(&pool.0.queue);
    drop(pool);
    let begin = Instant::now();
    while queue.strong_count() > 0 {
        assert!(begin.elapsed() < PATIENCE, "a thread does not end");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn who_has_proved_a_key_comes_before_all_strangers() {
    let scene = Scene::new();
    let _flood = scene.strangers(3, source(1));
    let mut exchanges = [0, 1].map(|_| scene.start(exchange(), None));
    for exchange in &mut exchanges {
        scene.serve();
        assert!(is_done(exchange));
    }
}

/// Also one that is told from no other by its address.
#[test]
fn a_stranger_is_next_whatever_other_sources_flood() {
    for other in [source(9), None] {
        let scene = Scene::new();
        let mut floods = Vec::new();
        for _ in 0..3 {
            floods.extend((1..=3).map(|flooding| scene.strangers(FLOOD, source(flooding))));
            // They have had some turns, and flood on.
            for _ in 0..10 {
                scene.serve();
            }
            let mut holder = scene.stranger(other);
            floods.push(scene.strangers(FLOOD, source(2)));
            scene.serve();
            assert!(is_done(&mut holder));
        }
    }
}

#[test]
fn sources_take_turns_and_of_each_the_newest_is_first() {
    let scene = Scene::new();
    let mut first = scene.strangers(3, source(1));
    let mut second = scene.strangers(3, source(2));
    for newest in (0..3).rev() {
        for waiting in [&mut second, &mut first] {
            scene.serve();
            assert!(is_done(&mut waiting[newest]), "{newest}");
        }
    }
    assert!(scene.is_empty());
}

/// A flood that goes on leaves what it has given up behind itself.
#[test]
fn what_nobody_waits_for_is_not_kept() {
    let scene = Scene::new();
    let mut kept = scene.stranger(source(1));
    drop(scene.strangers(FLOOD, source(1)));
    drop(scene.strangers(FLOOD, source(2)));
    let state = scene.pool.0.queue.lock();
    assert_eq!(state.trials.len(), 1);
    drop(state);
    scene.serve();
    assert!(is_done(&mut kept));
    assert!(scene.is_empty());
}

/// A handshake with a peer that says anything, until there is something to compute.
async fn proving(handshaker: &Handshaker, source: Option<IpAddr>) -> Proving<'_> {
    let (mut peer, io) = duplex(4096);
    peer.write_all(&[7; 320]).await.unwrap();
    let mut proving: Proving<'_> = Box::pin(async move {
        let _peer = peer;
        handshaker.prove_from(source, io).await.map(drop)
    });
    assert!(poll(&mut proving).is_pending());
    proving
}

#[tokio::test]
async fn a_handshake_has_its_keys_tried_in_the_turn_of_its_peer() {
    let scene = Scene::new();
    let handshaker = Handshaker::with_pool(scene.keys.clone(), scene.pool.clone());
    let mut flood = vec![proving(&handshaker, source(1)).await];
    let mut other = proving(&handshaker, source(2)).await;
    flood.push(proving(&handshaker, source(1)).await);
    // Its bytes are tried as of version 2, then as of version 1.
    scene.serve();
    assert!(poll(&mut other).is_pending());
    scene.serve();
    let refused = poll(&mut other);
    assert!(
        matches!(
            refused,
            Poll::Ready(Err(HandshakeError::Protocol(Error::HandshakeMac)))
        ),
        "{refused:?}"
    );
    drop(flood);
    assert!(scene.is_empty());
}
