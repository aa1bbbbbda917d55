//! The daemon and the programs.
