//! The daemon `spiped` and its client `spipe`: what they read, say and need of the system. The
//! protocol and the sockets are left to `spiped-proto` and `spiped-tokio`.

pub mod admission;
pub mod check;
pub mod cli;
pub mod config;
pub mod connection;
pub mod daemon;
pub mod daemonize;
pub mod demo;
pub mod descriptors;
pub mod fleet;
mod footprint;
mod idle;
pub mod inherited;
pub mod keyfile;
pub mod keygen;
pub mod keys;
pub mod locked;
pub mod log;
pub mod notify;
pub mod origin;
pub mod outcome;
pub mod pidfile;
pub mod pipe;
pub mod prepare;
pub mod privileges;
pub mod reason;
pub mod record;
pub mod sandbox;
pub mod settings;
mod signals;
pub mod spipe;
pub mod start;
pub mod strangers;
pub mod target;
mod tempdir;
