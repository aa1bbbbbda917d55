//! Authenticated, encrypted spiped streams over tokio sockets.
//!
//! Two programs that share a key file talk through the internet as if through a local socket:
//! nobody without the key can read what they say, change it, or say anything. The other end may be a
//! `spiped` in front of any program, of any version since 1.0.
//!
//! # A client
//!
//! [`Handshaker::connect`] turns a connection into a [`SpipedStream`], which is `AsyncRead` and
//! `AsyncWrite`:
//!
//! ```no_run
//! use spiped_tokio::{Handshaker, read_key_file};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::net::TcpStream;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let handshaker = Handshaker::new(read_key_file("/etc/spiped/key")?);
//! let connection = TcpStream::connect("example.org:8025").await?;
//! connection.set_nodelay(true)?;
//! let mut stream = handshaker.connect(connection).await?;
//! stream.write_all(b"PING\r\n").await?;
//! stream.shutdown().await?;
//! let mut answer = Vec::new();
//! stream.read_to_end(&mut answer).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Without `set_nodelay` the first record would wait until the other end has acknowledged the handshake.
//! A [`Socket`] sets it by itself.
//!
//! # A server, and timeouts
//!
//! [`Handshaker::accept`] is the other end. A handshake takes as long as the peer does, and strangers
//! connect too: put a [timeout](https://docs.rs/tokio/latest/tokio/time/fn.timeout.html) around it.
//! Both ends in one program:
//!
//! ```
//! use std::time::Duration;
//!
//! use spiped_tokio::{Handshaker, Secret};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::net::{TcpListener, TcpStream};
//! use tokio::time::timeout;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let handshaker = Handshaker::new(Secret::from_key_file(b"32 random bytes, in real life"));
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//!
//! let server = handshaker.clone();
//! tokio::spawn(async move {
//!     while let Ok((connection, peer)) = listener.accept().await {
//!         let _ = connection.set_nodelay(true);
//!         let server = server.clone();
//!         tokio::spawn(async move {
//!             match timeout(Duration::from_secs(5), server.accept(connection)).await {
//!                 Ok(Ok(stream)) => {
//!                     let (mut reader, mut writer) = tokio::io::split(stream);
//!                     if tokio::io::copy(&mut reader, &mut writer).await.is_ok() {
//!                         let _ = writer.shutdown().await;
//!                     }
//!                 }
//!                 Ok(Err(error)) => eprintln!("{peer}: {error}"),
//!                 Err(_) => eprintln!("{peer}: no handshake in time"),
//!             }
//!         });
//!     }
//! });
//!
//! let connection = TcpStream::connect(address).await?;
//! connection.set_nodelay(true)?;
//! let mut stream = handshaker.connect(connection).await?;
//! stream.write_all(b"echo").await?;
//! stream.shutdown().await?;
//! let mut answer = Vec::new();
//! stream.read_to_end(&mut answer).await?;
//! assert_eq!(answer, b"echo");
//! # Ok(())
//! # }
//! ```
//!
//! # Many keys
//!
//! A handshaker made of a [`Keyring`] accepts whoever holds one of its keys;
//! [`SpipedStream::key`] says which. Many handshakers can share their threads:
//! [`Handshaker::with_pool`]. To do something for the peer while keys are exchanged, or to refuse it,
//! take the handshake in two halves: [`Handshaker::prove`] and [`AuthenticatedPeer::finish`].
//!
//! ```
//! use spiped_tokio::{Handshaker, Keyring, Secret};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clients = ["alice", "bob"];
//! let keys: Keyring = clients.iter().map(|name| Secret::from_key_file(name.as_bytes())).collect();
//! let server = Handshaker::new(keys);
//! let client = Handshaker::new(Secret::from_key_file(b"bob"));
//!
//! let (near, far) = tokio::io::duplex(4096);
//! let (connected, proved) = tokio::join!(client.connect(near), async {
//!     let peer = server.prove(far).await?;
//!     assert_eq!(clients[peer.key()], "bob");
//!     peer.finish().await
//! });
//! assert_eq!(proved?.key(), 1);
//! connected?;
//! # Ok(())
//! # }
//! ```
//!
//! # Ends, and what is no end
//!
//! Each direction ends by itself: `shutdown` ends this one, an end of file is the peer's, and data may
//! go on in the other one. A stream that is cut, and a record that was tampered with, are errors, never
//! an end of file. In version 1 of the protocol that holds inside of a packet only: whoever can cut the
//! connection between two packets can end a version 1 stream there.
//!
//! Whoever drops a [`SpipedStream`] without a shutdown leaves a broken stream. A peer that speaks
//! version 2 always sees that. For version 1 it depends on the stream underneath: a plain `TcpStream`
//! then closes in order, a [`Socket`] resets the connection until it is told to
//! [finish](Socket::finish).
//!
//! # Versions
//!
//! Two ends speak the newest version of the protocol that both know, and nobody in between can change
//! that. [`HandshakeConfig`] restricts it; [`SpipedStream::version`] says what came out.
//!
//! ```
//! use spiped_tokio::{HandshakeConfig, Handshaker, Secret, Version, Versions};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = Secret::from_key_file(b"32 random bytes, in real life");
//! let old = HandshakeConfig::default().with_versions(Versions::Only(Version::V1));
//! let client = Handshaker::new(secret.clone()).with_config(old);
//! let server = Handshaker::new(secret);
//!
//! let (near, far) = tokio::io::duplex(4096);
//! let (client, server) = tokio::join!(client.connect(near), server.accept(far));
//! assert_eq!(client?.version(), Version::V1);
//! assert_eq!(server?.version(), Version::V1);
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! [`HandshakeError`] says why there is no stream; it becomes an [`io::Error`] where there are others. A fault of a stream is an [`io::Error`] that carries
//! a [`ProtocolError`]:
//!
//! ```
//! use spiped_tokio::{Handshaker, ProtocolError, Secret};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let handshaker = Handshaker::new(Secret::from_key_file(b"32 random bytes, in real life"));
//! let (near, far) = tokio::io::duplex(4096);
//! let (client, server) = tokio::join!(handshaker.connect(near), handshaker.accept(far));
//! // Somebody in between adds to what the client says.
//! let mut connection = client?.into_parts().io;
//! connection.write_all(&[0; 2000]).await?;
//! let error = server?.read(&mut [0; 100]).await.unwrap_err();
//! let fault = error.get_ref().and_then(|fault| fault.downcast_ref());
//! assert_eq!(fault, Some(&ProtocolError::PacketMac));
//! # Ok(())
//! # }
//! ```
//!
//! # Sockets, and features
//!
//! The feature `net`, which is on unless you turn default features off, has what a daemon needs:
//! [`Address`] and [`BindAddress`] are what the command line of spiped takes; [`Listener`], [`dial`] and
//! [`Socket`] work with TCP and unix sockets alike; [`relay`] joins a plain socket to an encrypted one.
//! `spiped` itself is made of them. They need a unix system, and a runtime with I/O and time enabled.
//! Without the feature there are the handshake and the stream, over any `AsyncRead + AsyncWrite`.
//!
//! [`io::Error`]: std::io::Error
#![forbid(unsafe_code)]
#![cfg_attr(not(feature = "net"), allow(rustdoc::broken_intra_doc_links))]

#[cfg(all(feature = "net", not(unix)))]
compile_error!(
    "the feature `net` of spiped-tokio needs unix sockets, which this system has not: use the crate with `default-features = false`"
);

mod buffer;
mod handshake;
mod key_file;
#[cfg(all(feature = "net", unix))]
mod net;
#[cfg(all(feature = "net", unix))]
mod relay;
mod stream;

pub use spiped_proto::{
    Error as ProtocolError, ForwardSecrecy, HandshakeConfig, Keyring, Secret, Version, Versions,
};

pub use handshake::{AuthenticatedPeer, HandshakeError, Handshaker, KeyExchangePool};
pub use key_file::read_key_file;
#[cfg(all(feature = "net", unix))]
pub use net::{
    Address, AddressError, BindAddress, BoundListener, DetachedSocket, DialError, DialOptions,
    Endpoint, Listener, Peer, Socket, TargetAddress, connect_unix, dial,
};
#[cfg(all(feature = "net", unix))]
pub use relay::{RelayError, Traffic, relay};
pub use stream::{Parts, SpipedStream};
