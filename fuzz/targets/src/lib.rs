//! What is fuzzed: functions that take any bytes and panic when a promise is broken.
//!
//! They do not know what makes the bytes. libFuzzer does in `fuzz/`; `tests/corpus.rs` replays the
//! committed corpus with every run of the tests.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a target fails by panicking"
)]

mod addresses;
mod command_line;
mod configuration;
mod end;
mod forge;
mod handshake;
mod hellos;
mod input;
mod key_file;
mod model;
mod negotiation;
mod packets;
mod proxy_header;
mod records;
mod session;
mod stream;
mod tunnel;
mod user;

pub use addresses::addresses;
pub use command_line::command_line;
pub use configuration::configuration;
pub use handshake::{handshake_bytes, handshake_values};
pub use hellos::hellos;
pub use key_file::key_file;
pub use negotiation::negotiation;
pub use packets::{packets_opened, packets_there_and_back};
pub use proxy_header::proxy_header;
pub use records::{records_opened, records_there_and_back};
pub use stream::stream;
pub use tunnel::tunnel;
pub use user::user;

/// The second implementation of version 2, for tests that play a peer which holds the key.
pub mod v2 {
    pub use crate::hellos::{NOT_CANONICAL, SMALL_ORDER};
    pub use crate::model::v2::{
        DATA_LEN, Keys, Nonces, Secret, client_nonce, decapsulate, encapsulate, encapsulation_key,
        open_hello, open_with, seal_hello, seal_with, server_nonce, transcript, x25519,
        x25519_public,
    };
    pub use crate::model::{Key, shared_key};
}

/// One function to fuzz.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Of the function, its program in `fuzz/fuzz_targets` and its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Panics when a promise is broken.
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($name:ident),+ $(,)?) => {
        /// All of them.
        pub const TARGETS: &[Target] = &[
            $(Target { name: stringify!($name), run: $name }),+
        ];
    };
}

targets![
    addresses,
    command_line,
    configuration,
    handshake_bytes,
    handshake_values,
    hellos,
    key_file,
    negotiation,
    packets_opened,
    packets_there_and_back,
    proxy_header,
    records_opened,
    records_there_and_back,
    stream,
    tunnel,
    user,
];
