//! The daemon and the programs.

pub mod daemonize;
pub mod demo;
pub mod descriptors;
pub mod keyfile;
pub mod keygen;
pub mod log;
pub mod pidfile;
pub mod privileges;
pub mod reason;
mod tempdir;
