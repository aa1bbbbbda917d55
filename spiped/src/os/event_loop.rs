//! tokio's event loop for one thread.

use std::io;
use std::os::unix::net::UnixStream;

use tokio::runtime::{Builder, Runtime};

use super::system_error::{SystemError, cannot};

/// More pairs of descriptors than an event loop begins with.
const PAIRS: usize = 4;

/// Makes one with all drivers.
pub(crate) fn event_loop() -> Result<Runtime, SystemError> {
    build().map_err(cannot("start an event loop"))
}

fn build() -> io::Result<Runtime> {
    // tokio panics if it finds no descriptors for its signals, so it is seen to that there are.
    let spare: io::Result<Vec<_>> = (0..PAIRS).map(|_| UnixStream::pair()).collect();
    drop(spare?);
    Builder::new_current_thread().enable_all().build()
}
