//! The calls of the operating system: everything that only unix or Linux has, and everything `unsafe`.

pub mod daemonize;
pub(crate) mod event_loop;
pub mod fd_limit;
pub(crate) mod host;
pub mod locked_memory;
pub mod lookup_process;
pub mod malloc_trim;
pub mod os_error;
pub mod pidfile;
pub mod privileges;
pub mod sandbox;
pub mod signals;
pub mod socket_activation;
pub mod stack;
pub mod std_streams;
#[cfg(target_os = "linux")]
pub mod syscall_filter;
pub mod system_error;
