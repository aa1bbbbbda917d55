//! The encrypted stream over in-memory and TCP connections.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::io::ErrorKind;

use spiped_proto::{BUFFER_LEN, Entropy, Error, ForwardSecrecy, Secret, Session, Step, Version};
use spiped_tokio::{HandshakeError, Handshaker, SpipedStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;

use common::{PATIENCE, VERSIONS, handshaker, only};

async fn pair(
    version: Version,
    buffer: usize,
) -> (SpipedStream<DuplexStream>, SpipedStream<DuplexStream>) {
    let (client, server) = duplex(buffer);
    let handshaker = handshaker().with_config(only(version));
    let (client, server) = tokio::join!(handshaker.connect(client), handshaker.accept(server));
    let (client, server) = (client.unwrap(), server.unwrap());
    assert_eq!((client.version(), server.version()), (version, version));
    (client, server)
}

/// The length of a record of a few bytes.
fn record_len(version: Version) -> usize {
    match version {
        Version::V1 => 1060,
        _ => 293,
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 131 % 251) as u8).collect()
}

/// Plays a client through its handshake, which sends as late as it may. Gives what is still to be sent, and
/// the session.
async fn late_client(wire: &mut DuplexStream, version: Version) -> (Vec<u8>, Box<Session>) {
    let secret = Secret::from_key_file(b"key");
    let entropy = Entropy::take(&mut [7; Entropy::LEN]);
    let mut step = Step::client(&secret, only(version), entropy);
    let mut held_back = Vec::new();
    loop {
        step = match step {
            Step::Send(outgoing) => {
                held_back.extend_from_slice(outgoing.bytes());
                outgoing.sent()
            }
            Step::Receive(incoming) => {
                let mut from_server = vec![0; incoming.missing()];
                // A server of version 1 sends its nonce at once.
                if version != Version::V1 || incoming.missing() != 32 {
                    wire.write_all(&held_back).await.unwrap();
                    held_back.clear();
                }
                wire.read_exact(&mut from_server).await.unwrap();
                incoming.feed(&from_server).unwrap().1
            }
            Step::Compute(computation) => computation.run().unwrap(),
            Step::Authenticated(peer) => peer.proceed(),
            Step::Done(session) => return (held_back, session),
        };
    }
}

/// A client of version 1 may send nonce and hello together, one of version 2 its hello and all it has to say.
#[tokio::test]
async fn messages_that_come_in_one_piece_are_taken_one_by_one() {
    for version in VERSIONS {
        let (mut wire, server) = duplex(4096);
        let handshaker = handshaker().with_config(only(version));
        let server = tokio::spawn(async move { handshaker.accept(server).await });
        let talk = async {
            let (mut said, mut session) = late_client(&mut wire, version).await;
            let mut records = vec![7; BUFFER_LEN];
            for place in session.sealer.slots(&mut records).take(1) {
                place.split_at_mut(10).0.copy_from_slice(&pattern(10));
            }
            let sealed = session.sealer.seal(&mut records, 10).unwrap();
            said.extend_from_slice(records.split_at(sealed).0);
            let sealed = session.sealer.finish(&mut records).unwrap();
            said.extend_from_slice(records.split_at(sealed).0);
            wire.write_all(&said).await.unwrap();
            wire.shutdown().await.unwrap();
            let mut stream = server.await.unwrap().unwrap();
            let mut received = Vec::new();
            stream.read_to_end(&mut received).await.unwrap();
            assert_eq!(received, pattern(10));
        };
        timeout(PATIENCE, talk).await.unwrap();
    }
}

#[tokio::test]
async fn bytes_pass_both_ways_at_once_through_connections_of_any_width() {
    for (version, width) in VERSIONS
        .into_iter()
        .flat_map(|version| [1, 31, 1060, 100_000].map(|width| (version, width)))
    {
        let (client, server) = pair(version, width).await;
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
    for version in VERSIONS {
        let (mut client, mut server) = pair(version, 4096).await;
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
}

#[tokio::test]
async fn a_shutdown_ends_one_direction_only() {
    for version in VERSIONS {
        let (mut client, mut server) = pair(version, 4096).await;
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
}

/// A server's stream after a whole record and all but the last byte of another one, the raw
/// connection to it, and that last byte.
async fn server_inside_a_record(
    version: Version,
) -> (SpipedStream<DuplexStream>, DuplexStream, u8) {
    let (client, mut client_side) = duplex(1 << 20);
    let (mut server_side, server) = duplex(1 << 20);
    let handshaker = handshaker().with_config(only(version));
    let handshakes = async { tokio::join!(handshaker.connect(client), handshaker.accept(server)) };
    let (client, server) = tokio::select! {
        ends = handshakes => ends,
        carried = tokio::io::copy_bidirectional(&mut client_side, &mut server_side) => {
            panic!("an end has gone: {carried:?}")
        }
    };
    let mut client = client.unwrap();
    client.write_all(b"one").await.unwrap();
    client.write_all(b"two").await.unwrap();
    // From here on the test has two sealed records in hand.
    let mut sealed = vec![0; 2 * record_len(version)];
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
    for version in VERSIONS {
        let (mut server, raw, _) = server_inside_a_record(version).await;
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
}

#[tokio::test]
async fn a_changed_packet_is_an_error_and_gives_no_byte() {
    for version in VERSIONS {
        let (mut server, mut raw, last) = server_inside_a_record(version).await;
        raw.write_all(&[last ^ 1]).await.unwrap();
        let mut received = Vec::new();
        let error = server.read_to_end(&mut received).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(protocol_error(&error), Some(Error::PacketMac));
        assert_eq!(received, b"one");
    }
}

#[tokio::test]
async fn a_client_that_goes_without_a_byte_is_none() {
    for sent in [&b""[..], b"x"] {
        let (mut client, server) = duplex(4096);
        client.write_all(sent).await.unwrap();
        client.shutdown().await.unwrap();
        let accepted = handshaker().accept(server).await;
        let error = accepted.map(drop).unwrap_err();
        let is_none = matches!(error, HandshakeError::NoClient);
        assert_eq!(is_none, sent.is_empty(), "{error:?}");
        assert!(error.is_end(), "{error:?}");
    }
}

#[tokio::test]
async fn another_key_is_refused_by_both_ends() {
    let (client, server) = duplex(4096);
    let (one, other) = (
        handshaker(),
        Handshaker::new(Secret::from_key_file(b"other")),
    );
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
    let fast =
        handshaker().with_config(only(Version::V1).with_forward_secrecy(ForwardSecrecy::Disabled));
    let strict =
        handshaker().with_config(only(Version::V1).with_forward_secrecy(ForwardSecrecy::Required));
    let connecting = tokio::spawn(async move { fast.connect(client).await.map(drop) });
    let accepted = strict.accept(server).await;
    assert!(matches!(
        accepted,
        Err(HandshakeError::Protocol(Error::NoForwardSecrecy))
    ));
    drop(accepted);
    let connected = connecting.await.unwrap();
    assert!(matches!(
        connected,
        Err(HandshakeError::Protocol(Error::TruncatedHandshake))
    ));
}

#[tokio::test]
async fn a_stream_that_is_broken_takes_no_data_and_no_end() {
    for version in VERSIONS {
        let (mut server, mut raw, last) = server_inside_a_record(version).await;
        raw.write_all(&[last ^ 1]).await.unwrap();
        // The first byte of the record before the fault; the fault is known with it.
        let mut received = vec![server.read_u8().await.unwrap()];
        for read in [false, true, true] {
            if read {
                server.read_to_end(&mut received).await.unwrap_err();
                assert_eq!(received, b"one");
            }
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
}

#[tokio::test]
async fn nothing_can_be_written_after_the_end_and_it_ends_but_once() {
    for version in VERSIONS {
        let (mut client, mut server) = pair(version, 4096).await;
        client.write_all(b"x").await.unwrap();
        client.shutdown().await.unwrap();
        client.shutdown().await.unwrap();
        let error = client.write(b"y").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"x");
    }
}

#[tokio::test]
async fn what_was_on_its_way_is_there_when_a_stream_is_taken_apart() {
    for version in VERSIONS {
        let (mut client, mut server) = pair(version, 1 << 20).await;
        client.write_all(b"first").await.unwrap();
        client.write_all(b"second").await.unwrap();
        let mut room = [0; 3];
        server.read_exact(&mut room).await.unwrap();
        assert_eq!(&room, b"fir");
        let parts = server.into_parts();
        assert_eq!(parts.unread, b"stsecond");
        assert!(parts.unsent.is_empty() && parts.unopened.is_empty());
        assert!(!format!("{parts:?}").contains("second"));

        let (mut client, server) = pair(version, 100).await;
        client.write_all(b"more than fits").await.unwrap();
        let (client, mut server) = (client.into_parts(), server.into_parts().io);
        let mut received = vec![0; 100];
        server.read_exact(&mut received).await.unwrap();
        received.extend(client.unsent);
        assert_eq!(received.len(), record_len(version));
    }
}

/// What the peer sends last is not the end if it does not say so.
#[tokio::test]
async fn a_version_2_stream_that_just_stops_is_an_error() {
    for sent in [&b""[..], b"some data"] {
        for in_order in [true, false] {
            let (mut client, mut server) = pair(Version::V2, 4096).await;
            client.write_all(sent).await.unwrap();
            client.flush().await.unwrap();
            let mut connection = client.into_parts().io;
            if in_order {
                connection.shutdown().await.unwrap();
            } else {
                drop(connection);
            }
            let mut received = Vec::new();
            let error = server.read_to_end(&mut received).await.unwrap_err();
            assert_eq!(received, sent);
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            assert_eq!(protocol_error(&error), Some(Error::UnauthenticatedEnd));
            let shutdown = server.shutdown().await.unwrap_err();
            assert_eq!(shutdown.kind(), ErrorKind::BrokenPipe);
        }
    }
}

#[tokio::test]
async fn an_end_counts_once_the_connection_has_ended_and_nothing_may_follow() {
    let (mut client, mut server) = pair(Version::V2, 1 << 20).await;
    client.write_all(b"data").await.unwrap();
    client.shutdown().await.unwrap();
    let mut received = Vec::new();
    server.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"data");

    // The end record, without a FIN.
    let (near, mut far) = duplex(1 << 20);
    let (mut middle, server) = duplex(1 << 20);
    let handshaker = handshaker().with_config(only(Version::V2));
    let handshakes = async { tokio::join!(handshaker.connect(near), handshaker.accept(server)) };
    let (client, server) = tokio::select! {
        ends = handshakes => ends,
        _ = tokio::io::copy_bidirectional(&mut far, &mut middle) => panic!("an end has gone"),
    };
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    client.shutdown().await.unwrap();
    let mut end = Vec::new();
    far.read_to_end(&mut end).await.unwrap();
    assert!(!end.is_empty());
    middle.write_all(&end).await.unwrap();
    let mut room = [0; 100];
    let waiting = std::future::poll_fn(|cx| {
        let mut room = tokio::io::ReadBuf::new(&mut room);
        let read = tokio::io::AsyncRead::poll_read(std::pin::Pin::new(&mut server), cx, &mut room);
        std::task::Poll::Ready(read.is_pending())
    });
    assert!(waiting.await, "the end is passed on too early");
    middle.write_all(b"x").await.unwrap();
    for _ in 0..2 {
        let error = server.read(&mut [0; 100]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(protocol_error(&error), Some(Error::DataAfterEnd));
    }
}

#[tokio::test]
async fn an_unflushed_handshake_goes_out_with_a_flush_with_data_or_with_the_end() {
    for (version, how) in VERSIONS
        .into_iter()
        .flat_map(|version| ["flush", "data", "end"].map(|how| (version, how)))
    {
        let (client, server) = duplex(100_000);
        let handshaker = handshaker().with_config(only(version));
        let accepting = tokio::spawn({
            let handshaker = handshaker.clone();
            async move { handshaker.accept(server).await }
        });
        let mut client = handshaker.connect_unflushed(client).await.unwrap();
        match how {
            "flush" => client.flush().await.unwrap(),
            "data" => client.write_all(b"data").await.unwrap(),
            _ => client.shutdown().await.unwrap(),
        }
        let mut server = accepting.await.unwrap().unwrap();
        client.shutdown().await.unwrap();
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        let sent: &[u8] = if how == "data" { b"data" } else { b"" };
        assert_eq!(received, sent, "{version:?}, {how}");
    }
}
