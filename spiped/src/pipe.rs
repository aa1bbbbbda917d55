#![forbid(unsafe_code)]

//! One pipe at work: it accepts connections, admits them, and serves each to its end.
//!
//! `accept` accepts connections, and `connection` serves one from the handshake to its end. The other modules
//! admit connections, choose and dial targets, and keep the facts about each connection.

pub mod accept;
pub mod admission;
pub mod close_reason;
pub mod connection;
pub mod connection_info;
pub(crate) mod hops;
mod idle;
mod open_connections;
pub mod per_client_limit;
pub mod proxy_protocol;
pub mod registry;
pub mod resolved;
pub mod state;
pub mod stats;
pub mod target;
pub(crate) mod task;
pub mod unproved;
pub mod workers;
