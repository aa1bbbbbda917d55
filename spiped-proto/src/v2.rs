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
pub(crate) use server::{MatchedKey, Server};

use crate::crypto::Library;
use crate::next::Work;

pub(crate) type Nonce = [u8; 32];

/// How long an end takes for ss_X and ss_M: tens of microseconds, or hundreds with the portable library.
fn key_exchange(library: Library) -> Work {
    match library.is_fast() {
        true => Work::Short,
        false => Work::Long,
    }
}

/// The same for a server's key pairs, made for whoever has sent a nonce with a right tag.
fn key_pairs(library: Library) -> Work {
    match library.is_fast() {
        true => Work::ShortForStranger,
        false => Work::LongForStranger,
    }
}
