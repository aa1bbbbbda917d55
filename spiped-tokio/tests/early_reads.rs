//! Reads that end early, at an urgent byte or behind a descriptor: the relay reads on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use socket2::SockRef;
use spiped_tokio::{Socket, SpipedStream, Traffic, relay};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

use common::{PATIENCE, handshaker, tcp_pair};

/// Relays `plain` over an encrypted connection; gives the stream of the peer.
async fn relayed(plain: impl Into<Socket>) -> SpipedStream<UnixStream> {
    let plain = plain.into();
    let (near, far) = UnixStream::pair().unwrap();
    tokio::spawn(async move {
        let near = Socket::from(near);
        let mut stream = handshaker().connect(&near).await.unwrap();
        relay(&plain, &mut stream, &Traffic::default()).await
    });
    handshaker().accept(far).await.unwrap()
}

async fn arrives(peer: &mut (impl AsyncReadExt + Unpin), expected: &[u8]) {
    let mut read = vec![0; expected.len()];
    let all = timeout(PATIENCE, peer.read_exact(&mut read)).await;
    all.unwrap().unwrap();
    assert_eq!(read, expected);
}

/// Sends without a pause for others: all has come when the relay reads.
fn send_around_an_urgent_byte(client: &TcpStream) {
    let client = SockRef::from(client);
    client.send(b"abc").unwrap();
    client.send_out_of_band(b"!").unwrap();
    client.send(b"def").unwrap();
}

#[tokio::test]
async fn what_lies_behind_an_urgent_byte_is_read() {
    let (client, plain) = tcp_pair().await;
    send_around_an_urgent_byte(&client);
    let mut peer = relayed(plain).await;
    for _ in 0..2 {
        arrives(&mut peer, b"abcdef").await;
        send_around_an_urgent_byte(&client);
    }
}

#[tokio::test]
async fn what_lies_behind_an_urgent_byte_is_read_also_amid_data_of_the_other_direction() {
    let (client, plain) = tcp_pair().await;
    let (mut from_peer, mut to_peer) = tokio::io::split(relayed(plain).await);
    let flood = tokio::spawn(async move {
        loop {
            to_peer.write_all(&[7]).await.unwrap();
            to_peer.flush().await.unwrap();
            sleep(Duration::from_millis(5)).await;
        }
    });
    send_around_an_urgent_byte(&client);
    arrives(&mut from_peer, b"abcdef").await;
    assert!(!flood.is_finished());
    flood.abort();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_lies_behind_a_descriptor_is_read() {
    use std::io::IoSlice;
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    let (client, plain) = UnixStream::pair().unwrap();
    let mut peer = relayed(plain).await;
    for _ in 0..2 {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [client.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        sendmsg(
            &client,
            &[IoSlice::new(b"abc")],
            &mut control,
            SendFlags::empty(),
        )
        .unwrap();
        SockRef::from(&client).send(b"def").unwrap();
        arrives(&mut peer, b"abcdef").await;
    }
}
