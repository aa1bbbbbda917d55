#![forbid(unsafe_code)]

//! The settings of the process and of each pipe, whether the command line or a file has them.
//!
//! `settings` has the structs that other rooms use, `options` the options that these are made of,
//! `values` the types of single values, and `file` reads a configuration file.

pub mod file;
pub mod network;
pub(crate) mod number;
pub mod options;
pub mod settings;
pub mod setup;
pub(crate) mod sources;
pub mod values;
