//! The encrypted stream over in-memory and TCP connections.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::ErrorKind;

use spiped_proto::{Error, ForwardSecrecy, HandshakeConfig, Secret, Version, Versions};
use spiped_tokio::{HandshakeError, Handshaker, SpipedStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

fn handshaker(key: &[u8]) -> Handshaker {
    Handshaker::new(Secret::from_key_file(key))
}

async fn pair(buffer: usize) -> (SpipedStream<DuplexStream>, SpipedStream<DuplexStream>) {
    let (client, server) = duplex(buffer);
    let (to_server, to_client) = (handshaker(b"key"), handshaker(b"key"));
    let (client, server) = tokio::join!(to_server.connect(client), to_client.accept(server));
    (client.unwrap(), server.unwrap())
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 131 % 251) as u8).collect()
}

#[tokio::test]
async fn bytes_pass_both_ways_at_once_through_connections_of_any_width() {
    for width in [1, 31, 1060, 100_000] {
        let (client, server) = pair(width).await;
        let len = if width == 1 { 10_000 } else { 300_000 };
        let data = pattern(len);
        let exchange = |stream: SpipedStream<DuplexStream>, data: Vec<u8>| async move {
            let (mut reader, mut writer) = tokio::io::split(stream);
            let mut received = Vec::new();
            let (sent, read) = tokio::join!(
                async {
                    writer.write_all(&data).await?;
                    writer.shutdown().await
                },
                reader.read_to_end(&mut received)
            );
            sent.unwrap();
            read.unwrap();
            received
        };
        let (at_client, at_server) = tokio::join!(
            exchange(client, data.clone()),
            exchange(server, data.clone())
        );
        assert!(at_client == data && at_server == data, "width {width}");
    }
}

#[tokio::test]
async fn a_reader_with_little_room_gets_every_byte() {
    let (mut client, mut server) = pair(4096).await;
    let data = pattern(5000);
    let sending = tokio::spawn({
        let data = data.clone();
        async move {
            client.write_all(&data).await.unwrap();
            client.shutdown().await.unwrap();
            client
        }
    });
    let mut received = Vec::new();
    let mut room = [0; 7];
    loop {
        match server.read(&mut room).await.unwrap() {
            0 => break,
            len => received.extend_from_slice(&room[..len]),
        }
    }
    assert!(received == data);
    sending.await.unwrap();
}

#[tokio::test]
async fn a_shutdown_ends_one_direction_only() {
    let (mut client, mut server) = pair(4096).await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut question = String::new();
    server.read_to_string(&mut question).await.unwrap();
    assert_eq!(question, "question");
    server.write_all(b"answer").await.unwrap();
    server.shutdown().await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "answer");
}

/// A server's stream after a whole packet and all but the last byte of another one, the raw
/// connection to it, and that last byte.
async fn server_inside_a_packet() -> (SpipedStream<DuplexStream>, DuplexStream, u8) {
    let (client, mut client_side) = duplex(1 << 20);
    let (mut server_side, server) = duplex(1 << 20);
    let (to_server, to_client) = (handshaker(b"key"), handshaker(b"key"));
    let carry = async {
        let (mut nonce_c, mut server_sends, mut hello) = ([0; 32], [0; 32 + 1232], [0; 1136]);
        client_side.read_exact(&mut nonce_c).await.unwrap();
        server_side.write_all(&nonce_c).await.unwrap();
        server_side.read_exact(&mut server_sends).await.unwrap();
        client_side.write_all(&server_sends).await.unwrap();
        client_side.read_exact(&mut hello).await.unwrap();
        server_side.write_all(&hello).await.unwrap();
    };
    let (client, server, ()) =
        tokio::join!(to_server.connect(client), to_client.accept(server), carry);
    let mut client = client.unwrap();
    client.write_all(b"one").await.unwrap();
    client.write_all(b"two").await.unwrap();
    // From here on the test has two sealed packets in hand.
    let mut sealed = vec![0; 2 * 293];
    client_side.read_exact(&mut sealed).await.unwrap();
    let mut raw = server_side;
    let (last, but_last) = sealed.split_last().unwrap();
    raw.write_all(but_last).await.unwrap();
    (server.unwrap(), raw, *last)
}

fn protocol_error(error: &std::io::Error) -> Option<Error> {
    error.get_ref()?.downcast_ref::<Error>().copied()
}

#[tokio::test]
async fn a_stream_cut_inside_a_packet_is_an_error_and_stays_one() {
    let (mut server, raw, _) = server_inside_a_packet().await;
    drop(raw);
    let mut room = [0; 4096];
    assert_eq!(server.read(&mut room).await.unwrap(), 3);
    assert_eq!(&room[..3], b"one");
    for _ in 0..2 {
        let error = server.read(&mut room).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(protocol_error(&error), Some(Error::TruncatedPacket));
    }
}

#[tokio::test]
async fn a_changed_packet_is_an_error_and_gives_no_byte() {
    let (mut server, mut raw, last) = server_inside_a_packet().await;
    raw.write_all(&[last ^ 1]).await.unwrap();
    let mut received = Vec::new();
    let error = server.read_to_end(&mut received).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(protocol_error(&error), Some(Error::PacketMac));
    assert_eq!(received, b"one");
}

#[tokio::test]
async fn a_client_that_goes_without_a_byte_is_none() {
    for sent in [&b""[..], b"x"] {
        let (mut client, server) = duplex(4096);
        client.write_all(sent).await.unwrap();
        client.shutdown().await.unwrap();
        let accepted = handshaker(b"key").accept(server).await;
        let error = accepted.map(drop).unwrap_err();
        let is_none = matches!(error, HandshakeError::NoClient);
        assert_eq!(is_none, sent.is_empty(), "{error:?}");
        assert!(error.is_end(), "{error:?}");
    }
}

#[tokio::test]
async fn another_key_is_refused_by_both_ends() {
    let (client, server) = duplex(4096);
    let (one, other) = (handshaker(b"one"), handshaker(b"other"));
    let connecting = tokio::spawn(async move { one.connect(client).await.map(drop) });
    let accepted = other.accept(server).await;
    assert!(matches!(
        accepted,
        Err(HandshakeError::Protocol(Error::HandshakeMac))
    ));
    drop(accepted);
    let connected = connecting.await.unwrap();
    assert!(matches!(
        connected,
        Err(HandshakeError::Protocol(Error::TruncatedHandshake))
    ));
}

#[tokio::test]
async fn required_forward_secrecy_refuses_a_fast_peer() {
    let (client, server) = duplex(4096);
    let v1 = HandshakeConfig::default().with_versions(Versions::Only(Version::V1));
    let [fast, strict] = [ForwardSecrecy::Disabled, ForwardSecrecy::Required]
        .map(|choice| handshaker(b"key").with_config(v1.with_forward_secrecy(choice)));
    let connecting = tokio::spawn(async move { fast.connect(client).await.map(drop) });
    let accepted = strict.accept(server).await;
    assert!(matches!(
        accepted,
        Err(HandshakeError::Protocol(Error::NoForwardSecrecy))
    ));
    drop(accepted);
    assert!(connecting.await.unwrap().is_err());
}

#[tokio::test]
async fn a_stream_that_is_broken_takes_no_data_and_no_end() {
    let (mut server, mut raw, last) = server_inside_a_packet().await;
    raw.write_all(&[last ^ 1]).await.unwrap();
    let mut received = Vec::new();
    server.read_to_end(&mut received).await.unwrap_err();
    for _ in 0..2 {
        let write = server.write(b"x").await.unwrap_err();
        assert_eq!(write.kind(), ErrorKind::BrokenPipe);
        let shutdown = server.shutdown().await.unwrap_err();
        assert_eq!(shutdown.kind(), ErrorKind::BrokenPipe);
    }
    drop(server);
    let mut sent = Vec::new();
    raw.read_to_end(&mut sent).await.unwrap();
    assert!(sent.is_empty(), "{sent:?}");
}

#[tokio::test]
async fn nothing_can_be_written_after_the_end_and_it_ends_but_once() {
    let (mut client, mut server) = pair(4096).await;
    client.write_all(b"x").await.unwrap();
    client.shutdown().await.unwrap();
    client.shutdown().await.unwrap();
    let error = client.write(b"y").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let mut received = Vec::new();
    server.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"x");
}

#[tokio::test]
async fn what_was_on_its_way_is_there_when_a_stream_is_taken_apart() {
    let (mut client, mut server) = pair(1 << 20).await;
    client.write_all(b"first").await.unwrap();
    client.write_all(b"second").await.unwrap();
    let mut room = [0; 3];
    server.read_exact(&mut room).await.unwrap();
    assert_eq!(&room, b"fir");
    let parts = server.into_parts();
    assert_eq!(parts.unread, b"stsecond");
    assert!(parts.unsent.is_empty() && parts.unopened.is_empty());
    assert!(!format!("{parts:?}").contains("second"));

    let (mut client, server) = pair(100).await;
    client.write_all(b"more than fits").await.unwrap();
    let (client, mut server) = (client.into_parts(), server.into_parts().io);
    let mut received = vec![0; 100];
    server.read_exact(&mut received).await.unwrap();
    received.extend(client.unsent);
    assert_eq!(received.len(), 293);
}
