#![forbid(unsafe_code)]

//! What the programs do beside serving: connect once, check a configuration, make a key.

pub mod check;
mod client;
pub mod keygen;
pub mod probe;
pub mod spipe;
