//! What several tests need.

#![allow(dead_code, reason = "each test takes a part of it")]

use std::time::Duration;

use socket2::SockRef;
use spiped_tokio::{HandshakeConfig, Handshaker, Secret, Version, Versions};
use tokio::net::{TcpListener, TcpStream};

/// What must happen is waited for this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const VERSIONS: [Version; 2] = [Version::V1, Version::V2];

/// All that it makes have the same key.
pub(crate) fn handshaker() -> Handshaker {
    Handshaker::new(Secret::from_key_file(b"key"))
}

pub(crate) fn only(version: Version) -> HandshakeConfig {
    HandshakeConfig::default().with_versions(Versions::Only(version))
}

/// Both ends of a connection over the loopback interface.
pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    tcp_pair_with(|_| ()).await
}

/// The second one has the options that `set` gives to its listener.
pub(crate) async fn tcp_pair_with(set: impl FnOnce(SockRef<'_>)) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    set(SockRef::from(&listener));
    let first = TcpStream::connect(listener.local_addr().unwrap()).await;
    (first.unwrap(), listener.accept().await.unwrap().0)
}
