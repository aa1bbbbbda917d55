use std::cell::Cell;
use std::fmt::Debug;
use std::future::pending;

use spiped_tokio::{Handshaker, Secret, Socket, SpipedStream, Traffic, relay};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::*;

/// Longer than the time between two looks at the peer of a unix socket.
const LIMIT: Duration = Duration::from_secs(15);
/// A paused clock goes on to the next timer without a look at the sockets: no step is longer than this.
const STEP: Duration = Duration::from_millis(10);
const TOLERANCE: Duration = Duration::from_millis(100);

/// Returns the time after which work is given up.
async fn given_up(progress: impl Fn() -> u64, work: impl Future<Output: Debug>) -> Duration {
    let start = Instant::now();
    let clock = async {
        loop {
            sleep(STEP).await;
        }
    };
    tokio::select! {
        idle = timeout(100 * LIMIT, limit(LIMIT, progress, work)) => {
            assert_eq!(idle.expect("it is never given up").unwrap_err(), Idle);
        }
        () = clock => {}
    }
    start.elapsed()
}

fn assert_about(took: Duration, expected: Duration) {
    assert!(
        (expected..expected + TOLERANCE).contains(&took),
        "{took:?} in place of {expected:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn work_without_progress_is_given_up_however_often_it_is_woken() {
    assert_about(given_up(|| 0, pending::<()>()).await, LIMIT);
    let awake = async {
        for _ in 0..10_000 {
            sleep(LIMIT / 50).await;
        }
    };
    assert_about(given_up(|| 0, awake).await, LIMIT);
}

#[tokio::test(start_paused = true)]
async fn the_limit_counts_from_the_last_progress() {
    let moved = Cell::new(0);
    let work = async {
        sleep(LIMIT / 2).await;
        moved.set(1);
        pending::<()>().await;
    };
    let took = given_up(|| moved.get(), work).await;
    assert_about(took, LIMIT / 2 + LIMIT);
}

#[tokio::test(start_paused = true)]
async fn work_that_is_done_in_time_is_left_alone() {
    let work = async {
        sleep(LIMIT / 2).await;
        5
    };
    assert_eq!(limit(LIMIT, || 0, work).await, Ok(5));
}

/// The work moves on as often as the alarm rings, and sometimes at the same time.
#[tokio::test(start_paused = true)]
async fn steady_progress_is_never_taken_for_idleness() {
    let moved = Cell::new(0);
    let work = async {
        for _ in 0..1000 {
            sleep(LIMIT / 2).await;
            moved.set(moved.get() + 1);
        }
    };
    assert_eq!(limit(LIMIT, || moved.get(), work).await, Ok(()));
}

/// Shakes hands over `near` and `far`.
async fn streams(
    near: &Socket,
    far: UnixStream,
) -> (SpipedStream<&Socket>, SpipedStream<UnixStream>) {
    let handshaker = Handshaker::new(Secret::from_key_file(b"key"));
    let (near, far) = tokio::join!(handshaker.connect(near), handshaker.accept(far));
    (near.unwrap(), far.unwrap())
}

#[tokio::test]
async fn a_relay_without_data_is_given_up_whatever_direction_has_ended() {
    for ended in ["neither", "plain", "encrypted"] {
        let (mut client, plain) = UnixStream::pair().unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        let (plain, near) = (Socket::from(plain), Socket::from(near));
        let (mut stream, mut peer) = streams(&near, far).await;
        client.write_all(b"some").await.unwrap();
        match ended {
            "plain" => client.shutdown().await.unwrap(),
            "encrypted" => peer.shutdown().await.unwrap(),
            _ => {}
        }
        tokio::time::pause();
        let traffic = Traffic::default();
        let relaying = relay(&plain, &mut stream, &traffic);
        let took = given_up(|| traffic.progress(), relaying).await;
        tokio::time::resume();
        assert_about(took, LIMIT);
        assert_eq!(traffic.sealed(), 4, "{ended}");
    }
}

#[tokio::test]
async fn a_record_that_comes_slowly_is_data() {
    let (_client, plain) = UnixStream::pair().unwrap();
    let ((near, mut near_wire), (mut far_wire, far)) =
        (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
    let (plain, near) = (Socket::from(plain), Socket::from(near));
    let (mut stream, mut peer) = tokio::select! {
        streams = streams(&near, far) => streams,
        _ = copy_bidirectional(&mut near_wire, &mut far_wire) => unreachable!("nobody ends"),
    };
    peer.write_all(&[7; 10_000]).await.unwrap();
    let mut record = [0; 10_000];
    far_wire.readable().await.unwrap();
    assert_eq!(far_wire.try_read(&mut record).unwrap(), record.len());

    tokio::time::pause();
    let traffic = Traffic::default();
    let relaying = relay(&plain, &mut stream, &traffic);
    let sending = async {
        for part in record.chunks(100).take(6) {
            sleep(LIMIT / 2).await;
            near_wire.try_write(part).unwrap();
        }
    };
    let progress = || traffic.progress();
    let (took, ()) = tokio::join!(given_up(progress, relaying), sending);
    assert_about(took, 3 * LIMIT + LIMIT);
    assert_eq!(traffic.opened(), 0);
}
