//! Many keys at one server, over connections.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use spiped_proto::{Error, ForwardSecrecy, HandshakeConfig, Secret};
use spiped_tokio::{HandshakeError, Handshaker, KeyExchangePool, Keyring};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

fn key(number: usize) -> Secret {
    Secret::from_key_file(&number.to_be_bytes())
}

fn keyring(size: usize) -> Keyring {
    (0..size).map(key).collect()
}

#[tokio::test]
async fn a_server_learns_which_key_its_client_holds_and_talks_under_it() {
    // Few that are tried at once, and many that are a computation.
    for size in [3, 300] {
        let server = Handshaker::new(keyring(size));
        for number in [0, size / 2, size - 1] {
            let (near, far) = duplex(4096);
            let connecting = tokio::spawn(async move {
                let mut stream = Handshaker::new(key(number)).connect(near).await?;
                stream.write_all(b"ping").await?;
                stream.shutdown().await?;
                Ok::<_, HandshakeError>(())
            });
            let proved = server.prove(far).await.unwrap();
            assert_eq!(proved.key(), number);
            let mut stream = proved.finish().await.unwrap();
            assert_eq!(stream.key(), number);
            let mut received = Vec::new();
            stream.read_to_end(&mut received).await.unwrap();
            assert_eq!(received, b"ping");
            connecting.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_key_that_is_not_there_is_refused() {
    for size in [0, 3, 300] {
        let server = Handshaker::new(keyring(size));
        let (near, far) = duplex(4096);
        let client = tokio::spawn(async move { Handshaker::new(key(size)).connect(near).await });
        let refused = server.prove(far).await.unwrap_err();
        assert!(
            matches!(refused, HandshakeError::Protocol(Error::HandshakeMac)),
            "{refused:?}"
        );
        client.await.unwrap().unwrap_err();
    }
}

#[tokio::test]
async fn a_keyring_connects_with_its_first_key_or_not_at_all() {
    let (near, far) = duplex(4096);
    let client = tokio::spawn(async move { Handshaker::new(keyring(2)).connect(near).await });
    Handshaker::new(key(0)).accept(far).await.unwrap();
    client.await.unwrap().unwrap();

    let (near, _far) = duplex(4096);
    let refused = Handshaker::new(keyring(0)).connect(near).await.unwrap_err();
    assert!(matches!(refused, HandshakeError::NoKey), "{refused:?}");
}

#[tokio::test]
async fn handshakers_share_a_pool() {
    let pool = KeyExchangePool::new();
    for number in 0..3 {
        let with = |keys: Keyring| {
            let handshaker = Handshaker::with_pool(keys, pool.clone());
            handshaker.with_config(
                HandshakeConfig::default().with_forward_secrecy(ForwardSecrecy::Required),
            )
        };
        let (client, server) = (with(key(number).into()), with(keyring(100)));
        let (near, far) = duplex(4096);
        let client = tokio::spawn(async move { client.connect(near).await });
        server.accept(far).await.unwrap();
        client.await.unwrap().unwrap();
    }
}
