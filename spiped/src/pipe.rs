#![forbid(unsafe_code)]

//! One pipe at work: it accepts connections, admits them, and serves each to its end.
//!
//! `accept` begins a connection and `connection` tells its life. The other modules are what these two
//! ask: which connection may go on, where it goes, and what is known of it.

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
