//! The spiped protocol, version 1: bytes in, bytes out.
//!
//! This crate turns a shared key, random numbers and what a peer sends into what to send back: it
//! has no socket, clock, thread, file or log. The wire format is the one of spiped 1.0 to 1.6; the
//! "handshake steps" and "packets" that the documentation names are those of `docs/protocol.md` in
//! the repository. For a stream over sockets, see the crate `spiped-tokio`.
//!
//! - [`Secret`] is what both ends share, made from the bytes of a key file.
//! - [`Keyring`] is many of them at one server, which learns the one that a client holds.
//! - [`Step`] is a handshake: [`Step::client`] or [`Step::server`] begins it, each step leads to the
//!   next, and it ends with a [`Session`] or an [`Error`].
//! - [`Sealer`] and [`Opener`] are the two directions of a session.
//!
//! # Example
//!
//! Both ends in one place, with a message from the client to the server:
//!
//! ```
//! use spiped_proto::{Entropy, Error, ForwardSecrecy, Opener, Sealer, Secret, Step};
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
//!             Step::Proved(proved) => proved.proceed(),
//!             waiting_or_done => return Ok((output, waiting_or_done)),
//!         };
//!     }
//! }
//!
//! # fn random() -> [u8; Entropy::LEN] { let mut b = [0; 64]; getrandom::fill(&mut b).unwrap(); b }
//! let secret = Secret::from_key_file(b"32 random bytes, in real life");
//! let client = Step::client(&secret, ForwardSecrecy::Enabled, Entropy::take(&mut random()));
//! let server = Step::server(&secret, ForwardSecrecy::Enabled, Entropy::take(&mut random()));
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
//! let mut packets = vec![0; Sealer::sealed_len(message.len())];
//! client.sealer.seal(message, &mut packets)?;
//! let mut plaintext = vec![0; Opener::MIN_OUTPUT];
//! let opened = server.opener.open(&packets, &mut plaintext)?;
//! assert_eq!(&plaintext[..opened.produced], message);
//! # Ok::<(), Error>(())
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

mod error;
mod group14;
mod handshake;
mod kdf;
mod keyring;
mod mac;
mod packet;
mod residue;
mod secret;
#[cfg(test)]
mod vectors;

pub use error::Error;
pub use handshake::{Computation, Entropy, Incoming, Outgoing, Proved, Session, Step};
pub use keyring::Keyring;
pub use packet::{Opener, Progress, Sealer};
pub use secret::{HeldKey, Secret, SecretHasher};

/// Whether this end takes part in forward secrecy, and whether the peer must.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardSecrecy {
    /// Send `y = 1` and skip the key exchange arithmetic (`-f`).
    Disabled,
    /// Take part, and accept a peer that does not. The default.
    #[default]
    Enabled,
    /// Take part, and refuse a peer that does not (`-g`).
    Required,
}
