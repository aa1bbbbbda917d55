#![forbid(unsafe_code)]

//! The commands beside the daemon: `spipe`, `spiped probe`, `spiped check` and `spiped keygen`. Those that
//! ask a running daemon, `status` and `reload`, are in [`admin`](crate::admin).

pub mod check;
mod client;
pub mod keygen;
pub mod probe;
pub mod spipe;
