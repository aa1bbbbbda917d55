//! What the operating system gives: all that is unix or Linux alone, and all that is `unsafe`.

pub mod daemonize;
pub mod descriptors;
pub mod footprint;
pub mod inherited;
pub mod locked;
pub mod os_error;
pub mod pidfile;
pub mod privileges;
pub mod sandbox;
pub mod signals;
pub(crate) mod tempdir;
