//! Faults of the network, the system and the peers. Each module is a fault, and its tests are what
//! the daemons promise when it strikes.
//!
//! While it does, other streams run through the same daemons ([`Scene`]). Afterwards these are
//! whole to the byte, the daemons serve on, and have as many descriptors open and as much memory as
//! before.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod accepting;
mod clock;
mod crowds;
mod descriptors;
mod ends;
mod idle;
mod keepalive;
mod killed;
mod logs;
mod names;
mod resets;
mod scene;
mod stopped;
mod targets;
mod wire;

use scene::Scene;
