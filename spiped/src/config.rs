#![forbid(unsafe_code)]

//! What a process and each of its pipes are told: by the command line or by a file.

pub mod file;
pub mod network;
pub(crate) mod number;
pub mod options;
pub mod settings;
pub mod setup;
pub(crate) mod sources;
pub mod values;
