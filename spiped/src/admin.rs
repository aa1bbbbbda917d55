#![forbid(unsafe_code)]

//! The process as others see it, over HTTP: metrics for whoever may ask, and status and reload for
//! whoever may use the control socket. It costs what it is asked for, and no more than a few
//! connections.

mod client;
mod listeners;
mod metrics;
mod rendering;
mod server;
mod slots;
mod status;

pub use client::{ClientError, reload, status};
pub use listeners::AdminListeners;
pub use server::Reload;
