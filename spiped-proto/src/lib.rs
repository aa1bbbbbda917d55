//! The spiped protocol: bytes in, bytes out.
//!
//! This crate turns a shared key, random numbers and what a peer sends into what to send back: it
//! has no socket, clock, thread, file or log. Version 1 is the wire format of spiped 1.0 to 1.6;
//! two ends that know version 2 speak that by themselves. The sections, "handshake steps" and
//! "packets" that the documentation names are those of `docs/protocol.md` in the repository. For a
//! stream over sockets, see the crate `spiped-tokio`.
//!
//! - [`Secret`] is what both ends share, made from the bytes of a key file.
//! - [`Keyring`] is many of them at one server, which learns the one that a client holds.
//! - [`Step`] is a handshake: [`Step::client`] or [`Step::server`] begins it, each step leads to the
//!   next, and it ends with a [`Session`] or an [`Error`].
//! - [`HandshakeConfig`] is what an end chooses, [`Entropy`] the random numbers that it brings along.
//! - [`Sealer`] and [`Opener`] are the two directions of a session. They work in place, in buffers of
//!   the caller; how long records are is known to them alone.
//!
//! The feature `std`, which is on unless default features are turned off, brings faster cryptography.
//! Without it the crate needs an allocator, pointers that are atomic, and no operating system.
//!
//! # Example
//!
//! Both ends in one place, with a message from the client to the server:
//!
//! ```
//! use spiped_proto::{BUFFER_LEN, Entropy, Error, HandshakeConfig, Opened, Secret, Step};
//!
//! /// Goes as far as `input` leads; returns what to send to the peer.
//! fn advance(mut step: Step, mut input: &[u8]) -> Result<(Vec<u8>, Step), Error> {
//!     let mut output = Vec::new();
//!     loop {
//!         step = match step {
//!             Step::Send(outgoing) => {
//!                 output.extend_from_slice(outgoing.bytes());
//!                 outgoing.sent()
//!             }
//!             Step::Receive(incoming) if !input.is_empty() => {
//!                 let (used, next) = incoming.feed(input)?;
//!                 input = &input[used..];
//!                 next
//!             }
//!             Step::Compute(computation) => computation.run()?,
//!             Step::Authenticated(peer) => peer.proceed(),
//!             waiting_or_done => return Ok((output, waiting_or_done)),
//!         };
//!     }
//! }
//!
//! # fn random() -> [u8; Entropy::LEN] { let mut b = [0; Entropy::LEN]; getrandom::fill(&mut b).unwrap(); b }
//! let secret = Secret::from_key_file(b"32 random bytes, in real life");
//! let client = Step::client(&secret, HandshakeConfig::default(), Entropy::take(&mut random()));
//! let server = Step::server(&secret, HandshakeConfig::default(), Entropy::take(&mut random()));
//!
//! let (from_client, client) = advance(client, &[])?;
//! let (from_server, server) = advance(server, &from_client)?;
//! let (from_client, client) = advance(client, &from_server)?;
//! let (from_server, server) = advance(server, &from_client)?;
//! let (_, client) = advance(client, &from_server)?;
//! let (Step::Done(mut client), Step::Done(mut server)) = (client, server) else {
//!     panic!("both ends have all they need");
//! };
//!
//! let message = b"attack at dawn";
//! let mut buffer = vec![0; BUFFER_LEN];
//! let slot = client.sealer.slots(&mut buffer).next().expect("it is long enough");
//! slot[..message.len()].copy_from_slice(message);
//! let sealed = client.sealer.seal(&mut buffer, message.len())?;
//! let Opened::Data { plaintext, .. } = server.opener.open(&mut buffer[..sealed])? else {
//!     panic!("a whole record has arrived");
//! };
//! assert_eq!(&buffer[plaintext], message);
//! # Ok::<(), Error>(())
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

extern crate alloc;

mod config;
mod crypto;
mod entropy;
mod error;
mod handshake;
mod keyring;
mod negotiation;
mod next;
mod secret;
mod session;
#[cfg(test)]
mod testing;
mod v1;
mod v2;

pub use config::{ForwardSecrecy, HandshakeConfig, Version, Versions};
pub use entropy::Entropy;
pub use error::Error;
pub use handshake::{AuthenticatedPeer, Computation, Incoming, Outgoing, Step};
pub use keyring::Keyring;
pub use secret::{HeldKey, Secret, SecretHasher};
pub use session::{BUFFER_LEN, Opened, Opener, Sealer, Session};
