//! tokio's event loop for one thread.

use std::io;
use std::os::unix::net::UnixStream;

use tokio::runtime::{Builder, Runtime};

use super::system_error::{SystemError, cannot};

/// Pairs of descriptors to try for; an event loop begins with fewer.
const PAIRS: usize = 4;

/// Makes an event loop with all drivers.
///
/// # Errors
///
/// The system lacks descriptors or memory.
pub(crate) fn event_loop() -> Result<Runtime, SystemError> {
    build().map_err(cannot("start an event loop"))
}

fn build() -> io::Result<Runtime> {
    // tokio panics if it finds no descriptors for its signals, so check first that there are enough.
    let spare: io::Result<Vec<_>> = (0..PAIRS).map(|_| UnixStream::pair()).collect();
    drop(spare?);
    Builder::new_current_thread().enable_all().build()
}
