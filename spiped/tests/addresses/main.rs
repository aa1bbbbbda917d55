//! Addresses as people write them: ports that are none, link-local ones, names with many dead addresses,
//! and where connections start from.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod networks;
mod ports;
