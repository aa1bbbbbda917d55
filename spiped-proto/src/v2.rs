//! Version 2 of the protocol (docs/protocol.md).

mod client;
mod kdf;
mod keyring;
mod messages;
pub(crate) mod record;
mod server;
#[cfg(test)]
mod tests;

pub(crate) use client::{Client, LocalEnd};
pub(crate) use kdf::{Keys, client_nonce, is_server_nonce};
pub(crate) use keyring::{find, is_short};
pub(crate) use server::{Holder, Server};

pub(crate) type Nonce = [u8; 32];
