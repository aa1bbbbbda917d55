//! The process as others see it, over HTTP: metrics for whoever may ask, and status and reload for
//! whoever may use the control socket. It costs what it is asked for, and no more than a few
//! connections.

mod client;
mod desks;
mod metrics;
mod places;
mod server;
mod status;

pub use client::{ClientError, reload, status};
pub use desks::{DeskError, Desks};
pub use server::Reload;
