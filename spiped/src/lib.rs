//! The daemon and the programs.

pub mod cli;
