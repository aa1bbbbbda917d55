//! Peers that send and are gone, and those that only end their direction.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use socket2::SockRef;
use spiped_tokio::{RelayError, Socket, SpipedStream, Traffic, Version, relay};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::sleep;

use common::{PATIENCE, VERSIONS, handshaker, only, tcp_pair_with};

static DATA: [u8; 60_000] = [7; 60_000];

type Relaying = JoinHandle<Result<(), RelayError>>;

/// The first has room to send all of the data, and the second receives next to nothing before it reads.
async fn tcp_pair() -> (TcpStream, TcpStream) {
    let (first, second) = tcp_pair_with(|second| second.set_recv_buffer_size(1).unwrap()).await;
    let room = 4 * DATA.len();
    SockRef::from(&first).set_send_buffer_size(room).unwrap();
    (first, second)
}

/// Relays between two sockets. Gives the stream of the peer at the far end of the encrypted one.
async fn relayed<Far>(
    version: Version,
    plain: impl Into<Socket>,
    (near, far): (impl Into<Socket>, Far),
) -> (SpipedStream<Far>, Relaying)
where
    Far: AsyncRead + AsyncWrite + Unpin,
{
    let (plain, near) = (plain.into(), near.into());
    let handshaker = handshaker().with_config(only(version));
    let connecting = handshaker.clone();
    let relaying = tokio::spawn(async move {
        let mut stream = connecting.connect(&near).await.unwrap();
        relay(&plain, &mut stream, &Traffic::default()).await
    });
    (handshaker.accept(far).await.unwrap(), relaying)
}

/// Lets seconds pass, and leaves the relay a turn in each. It may get no further than that: for what it is to
/// do before, wait [`in_no_time`].
async fn pass(seconds: u32) {
    for _ in 0..seconds {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::time::resume();
        sleep(Duration::from_micros(100)).await;
    }
}

/// Lets time pass until the relay gives up.
async fn given_up(relaying: Relaying) -> RelayError {
    let begin = Instant::now();
    while !relaying.is_finished() {
        assert!(begin.elapsed() < PATIENCE, "the relay does not end");
        pass(1).await;
    }
    relaying.await.unwrap().unwrap_err()
}

/// Waits for something that needs no time to pass, and lets none.
async fn in_no_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::pause();
    // A clock that is paused goes on by itself when there is nothing to do.
    let busy = async {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            yield_now().await;
        }
    };
    let done = tokio::select! {
        biased;
        done = work => done,
        () = busy => panic!("it needs time"),
    };
    tokio::time::resume();
    done
}

async fn ended(relaying: Relaying) -> Result<(), RelayError> {
    in_no_time(relaying).await.unwrap()
}

async fn all(mut from: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut all = Vec::new();
    from.read_to_end(&mut all).await.unwrap();
    all
}

#[tokio::test]
async fn a_plain_peer_that_sends_and_is_gone_holds_nothing_and_all_of_it_arrives() {
    for version in VERSIONS {
        let (mut client, plain) = UnixStream::pair().unwrap();
        let (peer, relaying) = relayed(version, plain, tcp_pair().await).await;
        client.write_all(&DATA).await.unwrap();
        drop(client);
        let error = given_up(relaying).await;
        let RelayError::Plain(error) = error else {
            panic!("{error:?}");
        };
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert_eq!(all(peer).await, DATA);
    }
}

#[tokio::test]
async fn an_encrypted_peer_that_sends_and_is_gone_holds_nothing_and_all_of_it_arrives() {
    for version in VERSIONS {
        let (plain, client) = tcp_pair().await;
        let (mut peer, relaying) = relayed(version, plain, UnixStream::pair().unwrap()).await;
        peer.write_all(&DATA).await.unwrap();
        peer.shutdown().await.unwrap();
        drop(peer);
        let error = given_up(relaying).await;
        let RelayError::Encrypted(error) = error else {
            panic!("{error:?}");
        };
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert_eq!(all(client).await, DATA);
    }
}

#[tokio::test]
async fn a_plain_peer_that_has_ended_its_direction_gets_a_late_answer() {
    for version in VERSIONS {
        let (mut client, plain) = UnixStream::pair().unwrap();
        let (mut peer, relaying) = relayed(version, plain, tcp_pair().await).await;
        client.shutdown().await.unwrap();
        assert_eq!(peer.read(&mut [0]).await.unwrap(), 0);
        pass(300).await;
        peer.write_all(&DATA).await.unwrap();
        peer.shutdown().await.unwrap();
        assert_eq!(all(client).await, DATA);
        ended(relaying).await.unwrap();
    }
}

/// The client sees an end first, so that both ends of its socket have ended a direction.
#[tokio::test]
async fn a_plain_peer_whose_other_direction_has_ended_sends_late() {
    for version in VERSIONS {
        let (mut client, plain) = UnixStream::pair().unwrap();
        let (mut peer, relaying) = relayed(version, plain, UnixStream::pair().unwrap()).await;
        peer.shutdown().await.unwrap();
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        pass(300).await;
        client.write_all(&DATA).await.unwrap();
        drop(client);
        assert_eq!(all(peer).await, DATA);
        ended(relaying).await.unwrap();
    }
}

/// It has ten seconds, in which the other side ends too.
#[tokio::test]
async fn a_plain_peer_that_sends_and_is_gone_has_ended_well_if_the_other_side_ends() {
    for version in VERSIONS {
        let (mut client, plain) = UnixStream::pair().unwrap();
        let (mut peer, relaying) = relayed(version, plain, tcp_pair().await).await;
        let ended = in_no_time(async {
            client.write_all(b"all").await.unwrap();
            drop(client);
            let mut received = Vec::new();
            peer.read_to_end(&mut received).await.unwrap();
            assert_eq!(received, b"all");
            peer.shutdown().await.unwrap();
            relaying.await.unwrap()
        });
        ended.await.unwrap();
    }
}

/// Only Linux tells a reset behind an end from any other.
#[cfg(target_os = "linux")]
mod reset_behind_its_end {
    use super::*;

    /// The second has room for all that the first sends.
    async fn roomy_pair() -> (TcpStream, TcpStream) {
        let room = 20 * DATA.len();
        tcp_pair_with(|second| second.set_recv_buffer_size(room).unwrap()).await
    }

    /// The first has no room to send what the second does not read.
    async fn narrow_pair() -> (TcpStream, TcpStream) {
        let (first, second) = tcp_pair().await;
        SockRef::from(&first).set_send_buffer_size(1).unwrap();
        (first, second)
    }

    /// Closes by a reset, behind a FIN.
    fn reset(stream: &TcpStream) {
        let at_once = Some(Duration::ZERO);
        SockRef::from(stream).set_linger(at_once).unwrap();
    }

    /// A peer that has closed is reset by a probe once its system has forgotten the connection.
    #[tokio::test]
    async fn a_plain_peer_has_lost_nothing() {
        for version in VERSIONS {
            let (mut client, plain) = roomy_pair().await;
            let (peer, relaying) = relayed(version, plain, narrow_pair().await).await;
            for _ in 0..2 {
                client.write_all(&DATA).await.unwrap();
            }
            client.shutdown().await.unwrap();
            reset(&client);
            drop(client);
            assert_eq!(all(peer).await, DATA.repeat(2));
            let error = ended(relaying).await.unwrap_err();
            let RelayError::Plain(error) = error else {
                panic!("{error:?}");
            };
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        }
    }

    #[tokio::test]
    async fn an_encrypted_peer_has_lost_nothing() {
        for version in VERSIONS {
            let (plain, client) = narrow_pair().await;
            let (near, far) = roomy_pair().await;
            let (mut peer, relaying) = relayed(version, plain, (far, near)).await;
            for _ in 0..2 {
                peer.write_all(&DATA).await.unwrap();
            }
            peer.shutdown().await.unwrap();
            reset(peer.get_ref());
            drop(peer);
            assert_eq!(all(client).await, DATA.repeat(2));
            let error = ended(relaying).await.unwrap_err();
            let RelayError::Encrypted(error) = error else {
                panic!("{error:?}");
            };
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        }
    }
}
