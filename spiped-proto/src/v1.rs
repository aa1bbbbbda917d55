//! Version 1 of the protocol: the wire format of spiped 1.0 to 1.6 (docs/protocol.md).

mod client;
mod kdf;
mod keyring;
mod local_end;
mod messages;
pub(crate) mod packet;
mod server;
#[cfg(test)]
mod tests;

pub(crate) use client::Client;
pub(crate) use local_end::LocalEnd;
pub(crate) use server::Server;

/// 32 random bytes of one end, fresh for each connection.
type Nonce = [u8; 32];

const NONCE_LEN: usize = size_of::<Nonce>();
