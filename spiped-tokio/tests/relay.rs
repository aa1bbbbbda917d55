//! The relay between real sockets on the loopback interface.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::{Duration, Instant};

use spiped_tokio::{
    DialOptions, Endpoint, Listener, RelayError, Socket, SpipedStream, Traffic, Version, dial,
    relay,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use common::{PATIENCE, VERSIONS, handshaker, only};

async fn listen() -> (Listener, SocketAddr) {
    let listener = Listener::bind(&Endpoint::Tcp((Ipv4Addr::LOCALHOST, 0).into())).unwrap();
    let Endpoint::Tcp(address) = listener.local_endpoint().unwrap() else {
        panic!("a TCP listener has an IP address");
    };
    (listener, address)
}

/// A relay in a task, as `spiped -e` runs it, the plain client of it and the peer's stream.
struct Relayed {
    client: TcpStream,
    peer: SpipedStream<TcpStream>,
    relay: JoinHandle<(Result<(), RelayError>, Traffic)>,
}

async fn relayed() -> Relayed {
    let (plain, plain_address) = listen().await;
    let peer = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let target = Endpoint::Tcp(peer.local_addr().unwrap());
    let relay = tokio::spawn(async move {
        let (source, _) = plain.accept().await.unwrap();
        let target: Socket = dial(&[target], &DialOptions::new(PATIENCE)).await.unwrap();
        let mut stream = handshaker().connect_unflushed(&target).await.unwrap();
        let traffic = Traffic::default();
        (relay(&source, &mut stream, &traffic).await, traffic)
    });
    let client = TcpStream::connect(plain_address).await.unwrap();
    let (peer, _) = peer.accept().await.unwrap();
    let peer = handshaker().accept(peer).await.unwrap();
    Relayed {
        client,
        peer,
        relay,
    }
}

async fn ended(
    relay: JoinHandle<(Result<(), RelayError>, Traffic)>,
) -> (Result<(), RelayError>, Traffic) {
    timeout(PATIENCE, relay)
        .await
        .expect("the relay ends")
        .unwrap()
}

fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

#[tokio::test]
async fn both_ends_pass_and_traffic_is_counted() {
    let Relayed {
        mut client,
        mut peer,
        relay,
    } = relayed().await;
    client.write_all(&[1; 5000]).await.unwrap();
    client.shutdown().await.unwrap();
    let mut question = Vec::new();
    peer.read_to_end(&mut question).await.unwrap();
    assert_eq!(question, [1; 5000]);
    peer.write_all(&[2; 70_000]).await.unwrap();
    peer.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, [2; 70_000]);
    let (result, traffic) = ended(relay).await;
    result.unwrap();
    assert_eq!((traffic.sealed(), traffic.opened()), (5000, 70_000));
}

#[tokio::test]
async fn both_peers_are_probed_from_the_first_pause_on() {
    let (plain, plain_address) = listen().await;
    let _client = TcpStream::connect(plain_address).await.unwrap();
    let (source, _) = plain.accept().await.unwrap();
    let peer = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .unwrap();
    let target = Endpoint::Tcp(peer.local_addr().unwrap());
    let target = dial(&[target], &DialOptions::new(PATIENCE)).await.unwrap();
    let (peer, _) = peer.accept().await.unwrap();
    let handshaker = handshaker();
    let (stream, peer) = tokio::join!(handshaker.connect(&target), handshaker.accept(peer));
    let (mut stream, _peer) = (stream.unwrap(), peer.unwrap());
    let are_probed = || {
        let is_probed = |socket: &Socket| socket2::SockRef::from(socket).keepalive().unwrap();
        is_probed(&source) && is_probed(&target)
    };
    assert!(!are_probed());
    let traffic = Traffic::default();
    let mut relaying = pin!(relay(&source, &mut stream, &traffic));
    let begin = Instant::now();
    while !are_probed() {
        assert!(begin.elapsed() < PATIENCE);
        let pause = Duration::from_millis(10);
        timeout(pause, relaying.as_mut()).await.unwrap_err();
    }
}

#[tokio::test]
async fn what_waits_to_be_sent_goes_out_in_full_segments() {
    /// Bytes: 61 packets, or three records of 16 KiB and one of 15.
    const SEGMENT: usize = 64_660;
    for (version, data_len, end_len) in [(Version::V1, 61 * 1024, 0), (Version::V2, 63 * 1024, 37)]
    {
        let waiting = vec![7; 3 * data_len];
        let (mut client, plain) = tokio::net::UnixStream::pair().unwrap();
        socket2::SockRef::from(&client)
            .set_send_buffer_size(2 * waiting.len())
            .unwrap();
        // All of it fits into the socket, so none of the relay's reads finds less than it could take.
        assert_eq!(client.try_write(&waiting).unwrap(), waiting.len());
        client.shutdown().await.unwrap();

        let peer = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let target = Endpoint::Tcp(peer.local_addr().unwrap());
        let relaying = tokio::spawn(async move {
            let target = dial(&[target], &DialOptions::new(PATIENCE)).await.unwrap();
            let mut stream = handshaker()
                .with_config(only(version))
                .connect(&target)
                .await
                .unwrap();
            relay(&plain.into(), &mut stream, &Traffic::default()).await
        });
        let (peer, _) = peer.accept().await.unwrap();
        let stream = handshaker()
            .with_config(only(version))
            .accept(peer)
            .await
            .unwrap();
        let parts = stream.into_parts();
        let (mut wire, mut received) = (parts.io, parts.unopened);
        wire.read_to_end(&mut received).await.unwrap();
        assert_eq!(received.len(), 3 * SEGMENT + end_len);
        drop(wire);
        let ended = relaying.await.unwrap();
        assert_eq!(ended.is_ok(), version == Version::V1, "{ended:?}");
    }
}

#[tokio::test]
async fn a_reset_of_the_client_reaches_the_peer_as_an_error() {
    let Relayed {
        client,
        mut peer,
        relay,
    } = relayed().await;
    reset(client);
    let error = timeout(PATIENCE, peer.read(&mut [0; 16]))
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(matches!(ended(relay).await.0, Err(RelayError::Plain(_))));
}

#[tokio::test]
async fn a_cut_of_the_encrypted_stream_reaches_the_client_as_a_reset() {
    let Relayed {
        mut client,
        peer,
        relay,
    } = relayed().await;
    reset(peer.into_parts().io);
    let error = timeout(PATIENCE, client.read(&mut [0; 16]))
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(matches!(
        ended(relay).await.0,
        Err(RelayError::Encrypted(_))
    ));
}

#[tokio::test]
async fn a_reset_is_noticed_while_the_other_side_accepts_nothing() {
    let Relayed {
        mut client,
        peer,
        relay,
    } = relayed().await;
    // Filled until nothing moves any more, because the peer reads nothing.
    let stalled = async {
        let chunk = vec![0; 1 << 20];
        loop {
            let write = timeout(Duration::from_secs(1), client.write(&chunk)).await;
            match write {
                Ok(written) => drop(written.unwrap()),
                Err(_) => break,
            }
        }
    };
    stalled.await;
    reset(client);
    let (result, _) = ended(relay).await;
    assert!(matches!(result, Err(RelayError::Plain(_))), "{result:?}");
    drop(peer);
}

/// More than all buffers on the way hold.
const BULK: usize = 48 << 20;

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|i| (((i * i) >> 7) ^ (i * 131)) as u8)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn bulk_data_passes_both_ways_and_none_is_held_back_for_more() {
    let Relayed {
        client,
        peer,
        relay,
    } = relayed().await;
    let data = pattern(BULK);
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_peer, mut to_peer) = tokio::io::split(peer);
    for len in [BULK, 9 << 20, 1, (5 << 20) + 1, 100_000] {
        let data = &data[..len];
        let (mut question, mut answer) = (vec![0; len], vec![0; len]);
        let (asked, heard, answered, understood) = tokio::join!(
            to_client.write_all(data),
            from_peer.read_exact(&mut question),
            async {
                to_peer.write_all(data).await?;
                to_peer.flush().await
            },
            from_client.read_exact(&mut answer)
        );
        asked.and(answered).unwrap();
        heard.and(understood).unwrap();
        assert!(question == data && answer == data, "{len}");
    }
    to_client.shutdown().await.unwrap();
    to_peer.shutdown().await.unwrap();
    assert_eq!(from_peer.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(from_client.read(&mut [0]).await.unwrap(), 0);
    ended(relay).await.0.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_peer_that_breaks_amid_bulk_data_is_noticed() {
    let data = pattern(1 << 20);
    for to_peer in [true, false] {
        let Relayed {
            mut client,
            mut peer,
            relay,
        } = relayed().await;
        for _ in 0..BULK / data.len() {
            let mut received = vec![0; data.len()];
            let (sent, read) = if to_peer {
                tokio::join!(client.write_all(&data), peer.read_exact(&mut received))
            } else {
                tokio::join!(peer.write_all(&data), client.read_exact(&mut received))
            };
            sent.unwrap();
            read.unwrap();
        }
        // Some is on its way then.
        let _ = timeout(Duration::from_millis(5), async {
            loop {
                let _ = match to_peer {
                    true => client.write(&data).await,
                    false => peer.write(&data).await,
                };
            }
        })
        .await;
        reset(peer.into_parts().io);
        let (result, _) = ended(relay).await;
        assert!(
            matches!(result, Err(RelayError::Encrypted(_))),
            "{result:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_packet_that_was_tampered_with_amid_bulk_data_ends_the_stream() {
    let Relayed {
        mut client,
        mut peer,
        relay,
    } = relayed().await;
    let data = pattern(BULK);
    let reading = tokio::spawn(async move {
        let mut received = Vec::new();
        let end = client.read_to_end(&mut received).await;
        (received, end.map_err(|error| error.kind()))
    });
    peer.write_all(&data).await.unwrap();
    peer.flush().await.unwrap();
    let mut wire = peer.into_parts().io;
    wire.write_all(&[0; 1060]).await.unwrap();
    let (result, _) = ended(relay).await;
    assert!(
        matches!(&result, Err(RelayError::Encrypted(error)) if error.kind() == ErrorKind::InvalidData),
        "{result:?}"
    );
    let (received, end) = reading.await.unwrap();
    assert_eq!(end, Err(ErrorKind::ConnectionReset));
    assert!(data.starts_with(&received));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_relay_that_is_dropped_amid_bulk_data_resets_both_sides() {
    let Relayed {
        mut client,
        mut peer,
        relay,
    } = relayed().await;
    let data = pattern(BULK);
    let writing = async {
        loop {
            if let Err(error) = client.write_all(&data).await {
                return error;
            }
        }
    };
    let reading = async {
        let mut received = vec![0; 1 << 20];
        peer.read_exact(&mut received).await.unwrap();
        relay.abort();
        loop {
            if let Err(error) = peer.read(&mut received).await {
                return error;
            }
        }
    };
    let (written, read) = timeout(PATIENCE, async { tokio::join!(writing, reading) })
        .await
        .unwrap();
    assert_eq!(read.kind(), ErrorKind::ConnectionReset);
    let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    assert!(kinds.contains(&written.kind()), "{written}");
}

#[tokio::test]
async fn an_owned_socket_becomes_a_stream_that_a_task_can_have() {
    let (near, far) = tokio::net::UnixStream::pair().unwrap();
    let (near, far) = (Socket::from(near), Socket::from(far));
    let serving = tokio::spawn(async move {
        let mut stream = handshaker().accept(far).await?;
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        tokio::io::copy(&mut reader, &mut writer).await?;
        writer.shutdown().await?;
        stream.get_ref().finish();
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    });
    let mut stream = handshaker().connect(near).await.unwrap();
    stream.write_all(b"question").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"question");
    serving.await.unwrap().unwrap();
}

/// The plain side of a relay of version 2, the bare connection of its peer, and how it ends.
async fn relayed_to_a_bare_peer() -> (TcpStream, TcpStream, JoinHandle<Result<(), RelayError>>) {
    let Relayed {
        client,
        peer,
        relay,
    } = relayed().await;
    assert_eq!(peer.version(), Version::V2);
    let ended = tokio::spawn(async move { relay.await.unwrap().0 });
    (client, peer.into_parts().io, ended)
}

#[tokio::test]
async fn a_fin_that_no_end_precedes_is_a_reset_at_the_plain_side_and_no_end_goes_back() {
    let (mut client, mut wire, relay) = relayed_to_a_bare_peer().await;
    wire.shutdown().await.unwrap();
    let read = timeout(PATIENCE, client.read(&mut [0; 16])).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let mut received = Vec::new();
    let end = wire.read_to_end(&mut received).await;
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(received.is_empty(), "{received:?}");
    let error = relay.await.unwrap().unwrap_err();
    assert!(
        matches!(&error, RelayError::Encrypted(error) if error.kind() == ErrorKind::UnexpectedEof),
        "{error:?}"
    );
}

/// The plain side takes no data, so that the fault waits behind what came before it.
#[tokio::test]
async fn nothing_goes_back_once_a_fault_is_found_not_even_an_end() {
    for version in VERSIONS {
        let (mut client, plain) = tokio::net::UnixStream::pair().unwrap();
        socket2::SockRef::from(&plain)
            .set_send_buffer_size(1)
            .unwrap();
        let (near, far) = tokio::net::UnixStream::pair().unwrap();
        let relaying = tokio::spawn(async move {
            let near = Socket::from(near);
            let mut stream = handshaker()
                .with_config(only(version))
                .connect(&near)
                .await
                .unwrap();
            relay(&plain.into(), &mut stream, &Traffic::default()).await
        });
        let mut peer = handshaker()
            .with_config(only(version))
            .accept(far)
            .await
            .unwrap();
        // The relay runs on this thread too, and reads it all at once.
        peer.write_all(&[5; 16 * 1024]).await.unwrap();
        let mut wire = peer.into_parts().io;
        assert_eq!(wire.try_write(&[0; 1060]).unwrap(), 1060);

        client.readable().await.unwrap();
        client.write_all(b"too late").await.unwrap();
        client.shutdown().await.unwrap();
        let answer = timeout(Duration::from_millis(200), wire.read(&mut [0; 100])).await;
        assert!(answer.is_err(), "version {version}: {answer:?}");

        let mut received = Vec::new();
        let end = client.read_to_end(&mut received).await;
        assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(received, [5; 16 * 1024]);
        let error = relaying.await.unwrap().unwrap_err();
        assert!(
            matches!(&error, RelayError::Encrypted(error) if error.kind() == ErrorKind::InvalidData),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_plain_side_that_breaks_is_no_end_for_the_peer() {
    let Relayed {
        mut client,
        mut peer,
        relay,
    } = relayed().await;
    client.write_all(b"some").await.unwrap();
    let mut some = [0; 4];
    peer.read_exact(&mut some).await.unwrap();
    reset(client);
    let mut wire = peer.into_parts().io;
    let mut received = Vec::new();
    let end = wire.read_to_end(&mut received).await;
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(received.is_empty(), "{received:?}");
    assert!(matches!(ended(relay).await.0, Err(RelayError::Plain(_))));
}

#[tokio::test]
async fn a_plain_end_during_the_handshake_is_passed_on_after_it() {
    for version in VERSIONS {
        let (listener, address) = listen().await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let (plain, _) = listener.accept().await.unwrap();
        client.write_all(b"all").await.unwrap();
        client.shutdown().await.unwrap();
        let (near, far) = tokio::net::UnixStream::pair().unwrap();
        let (near, far) = (Socket::from(near), Socket::from(far));
        let relaying = tokio::spawn(async move {
            let mut stream = handshaker()
                .with_config(only(version))
                .connect(&near)
                .await
                .unwrap();
            relay(&plain, &mut stream, &Traffic::default()).await
        });
        let mut peer = handshaker()
            .with_config(only(version))
            .accept(far)
            .await
            .unwrap();
        let mut received = Vec::new();
        peer.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"all");
        peer.write_all(b"answer").await.unwrap();
        peer.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
        relaying.await.unwrap().unwrap();
    }
}
