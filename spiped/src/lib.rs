//! The daemon `spiped` and its client `spipe`. The protocol and the sockets are left to `spiped-proto`
//! and `spiped-tokio`.
//!
//! The library is the programs' own, so that tests reach it, and may change with any version. Other
//! programs take `spiped-tokio`.
//!
//! A room imports only what stands below it in this list.

#![cfg_attr(docsrs, doc(hidden))]

pub mod daemon;

pub mod admin;
pub mod commands;

pub mod cli;

pub mod pipe;

pub mod config;

pub mod keys;

pub mod log;

pub mod os;
