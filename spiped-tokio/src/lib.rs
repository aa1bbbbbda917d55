//! Authenticated, encrypted spiped streams over tokio sockets.
//!
//! Two programs that share a key file talk through the internet as if through a local socket:
//! nobody without the key can read what they say, change it, or say anything. The wire format is
//! the one of spiped 1.0 to 1.6, so the other end may be a `spiped -d` in front of any server.
//!
//! # A client
//!
//! [`Handshaker::connect`] turns a connection into a [`SpipedStream`], which is `AsyncRead` and
//! `AsyncWrite`:
//!
//! ```no_run
//! use spiped_tokio::{Handshaker, Secret};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::net::TcpStream;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = Secret::from_key_file(&std::fs::read("/etc/spiped/key")?);
//! let connection = TcpStream::connect("example.org:8025").await?;
//! let mut stream = Handshaker::new(secret).connect(connection).await?;
//! stream.write_all(b"PING\r\n").await?;
//! stream.shutdown().await?;
//! let mut answer = Vec::new();
//! stream.read_to_end(&mut answer).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # A server
//!
//! [`Handshaker::accept`] is the other end. Strangers connect too, so bound the time they have:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use spiped_tokio::{Handshaker, Secret};
//! use tokio::net::TcpListener;
//! use tokio::time::timeout;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = Secret::from_key_file(&std::fs::read("/etc/spiped/key")?);
//! let handshaker = Handshaker::new(secret);
//! let listener = TcpListener::bind("[::]:8025").await?;
//! loop {
//!     let (connection, address) = listener.accept().await?;
//!     let handshaker = handshaker.clone();
//!     tokio::spawn(async move {
//!         match timeout(Duration::from_secs(5), handshaker.accept(connection)).await {
//!             Ok(Ok(mut stream)) => {
//!                 let (mut reader, mut writer) = tokio::io::split(&mut stream);
//!                 let _ = tokio::io::copy(&mut reader, &mut writer).await;
//!             }
//!             Ok(Err(error)) => eprintln!("{address}: {error}"),
//!             Err(_) => eprintln!("{address}: no handshake in time"),
//!         }
//!     });
//! }
//! # }
//! ```
//!
//! A handshaker made of a [`Keyring`] accepts whoever holds one of its keys, and
//! [`AuthenticatedPeer::key`] says which. Many handshakers need threads but once:
//! [`Handshaker::with_pool`].
//!
//! # Dropped means broken?
//!
//! A [`SpipedStream`] that is dropped without a shutdown closes the stream underneath, and how that
//! looks to the peer is up to that stream. A plain `TcpStream` says an orderly end of file. A
//! [`Socket`] says a reset until it is told to [finish](Socket::finish).
//!
//! # What a daemon needs
//!
//! [`Address`] and [`BindAddress`] are what the command line of spiped takes; [`Listener`],
//! [`dial`] and [`Socket`] work with TCP and unix sockets alike; [`relay`] joins a plain socket to
//! an encrypted one. `spiped` itself is made of them.
#![forbid(unsafe_code)]

mod buffer;
mod handshake;
mod net;
mod relay;
mod stream;

pub use spiped_proto::{
    Error as ProtocolError, ForwardSecrecy, HandshakeConfig, Keyring, Secret, Version, Versions,
};

pub use handshake::{AuthenticatedPeer, HandshakeError, Handshaker, KeyExchangePool};
pub use net::{
    Address, AddressError, BindAddress, BoundListener, DetachedSocket, DialError, DialOptions,
    Endpoint, Listener, Peer, Socket, TargetAddress, connect_unix, dial,
};
pub use relay::{RelayError, Traffic, relay};
pub use stream::{Parts, SpipedStream};
