//! A peer that has proved its key, and waits to be served.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::time::Duration;

use spiped_tokio::{HandshakeError, Handshaker, Socket, SpipedStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use common::{PATIENCE, handshaker, tcp_pair};

/// What must not happen is waited for this long.
const ABSENCE: Duration = Duration::from_millis(50);

async fn connection() -> (TcpStream, Socket) {
    let (client, server) = tcp_pair().await;
    (client, server.into())
}

/// Gives the stream of a client whose proof is still unsent.
async fn unproved<P>(
    handshaker: &Handshaker,
    client: TcpStream,
    proving: Pin<&mut impl Future<Output = Result<P, HandshakeError>>>,
) -> SpipedStream<TcpStream> {
    tokio::select! {
        biased;
        connected = handshaker.connect_unflushed(client) => connected.unwrap(),
        _ = proving => unreachable!("the proof is not sent"),
    }
}

#[tokio::test]
async fn who_has_sent_all_and_ended_has_not_left() {
    let handshaker = handshaker();
    let (client, server) = connection().await;
    let mut proving = pin!(handshaker.prove(&server));
    let mut client = unproved(&handshaker, client, proving.as_mut()).await;
    client.write_all(b"all").await.unwrap();
    client.shutdown().await.unwrap();
    // Proof, data and end lie there, and one read takes them.
    let peer = timeout(PATIENCE, proving).await.unwrap().unwrap();
    timeout(ABSENCE, peer.left()).await.unwrap_err();
    let mut stream = timeout(PATIENCE, peer.finish()).await.unwrap().unwrap();
    let mut received = Vec::new();
    let read = stream.read_to_end(&mut received);
    timeout(PATIENCE, read).await.unwrap().unwrap();
    assert_eq!(received, b"all");
}

#[tokio::test]
async fn who_ends_without_a_word_has_left() {
    let handshaker = handshaker();
    let (client, server) = connection().await;
    let mut proving = pin!(handshaker.prove(&server));
    let mut client = unproved(&handshaker, client, proving.as_mut()).await;
    client.flush().await.unwrap();
    let peer = timeout(PATIENCE, proving).await.unwrap().unwrap();
    timeout(ABSENCE, peer.left()).await.unwrap_err();
    client.get_mut().shutdown().await.unwrap();
    let left = timeout(PATIENCE, peer.left()).await.unwrap();
    assert_eq!(left.kind(), ErrorKind::UnexpectedEof);
}
