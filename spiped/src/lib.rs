//! The daemon `spiped` and its client `spipe`. The protocol and the sockets are left to `spiped-proto`
//! and `spiped-tokio`.
//!
//! A room imports only what stands below it in this list.

pub mod daemon;

pub mod admin;
pub mod commands;

pub mod cli;

pub mod pipe;

pub mod config;

pub mod keys;

pub mod log;

pub mod os;
