//! A bar for people who watch, and figures they can read.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use crate::demo::MIB;

const WIDTH: usize = 30;

/// A progress bar on standard error, if that is a terminal; it disappears when dropped.
pub(crate) struct Progress {
    total: u64,
    visible: bool,
}

impl Progress {
    pub(crate) fn new(total: u64) -> Self {
        Self {
            total,
            visible: io::stderr().is_terminal(),
        }
    }

    pub(crate) fn show(&mut self, done: u64, elapsed: Duration) {
        if self.visible {
            self.print(&format!("\r{}\x1b[K", line(done, self.total, elapsed)));
        }
    }

    fn print(&mut self, text: &str) {
        let mut stderr = io::stderr();
        // A terminal that has gone away is no reason to stop.
        self.visible = stderr
            .write_all(text.as_bytes())
            .and_then(|()| stderr.flush())
            .is_ok();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.visible {
            self.print("\r\x1b[K");
        }
    }
}

fn line(done: u64, total: u64, elapsed: Duration) -> String {
    let fraction = if total == 0 {
        1.0
    } else {
        done as f64 / total as f64
    };
    let full = ((WIDTH as f64 * fraction) as usize).min(WIDTH);
    let bar = "#".repeat(full) + &"-".repeat(WIDTH - full);
    let (done_mib, total_mib) = (done / MIB, total / MIB);
    let speed = speed(done, elapsed);
    format!(
        "  [{bar}] {:3.0} %  {done_mib} of {total_mib} MiB  {speed}",
        fraction * 100.0
    )
}

/// So many bytes in so much time, as GB/s or MB/s of 1000 to the third or second bytes.
pub(crate) fn speed(bytes: u64, elapsed: Duration) -> String {
    let megabytes = bytes as f64 / 1e6 / elapsed.as_secs_f64().max(1e-6);
    if megabytes >= 1000.0 {
        format!("{:.2} GB/s", megabytes / 1000.0)
    } else {
        format!("{megabytes:.0} MB/s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_readable() {
        assert_eq!(speed(2_345_000_000, Duration::from_secs(2)), "1.17 GB/s");
        assert_eq!(speed(1_000_000, Duration::from_millis(10)), "100 MB/s");
        assert_eq!(speed(0, Duration::ZERO), "0 MB/s");
    }

    #[test]
    fn the_bar_grows_from_nothing_to_full() {
        let second = Duration::from_secs(1);
        assert_eq!(
            line(0, 512 * MIB, second),
            "  [------------------------------]   0 %  0 of 512 MiB  0 MB/s"
        );
        assert_eq!(
            line(256 * MIB, 512 * MIB, second),
            "  [###############---------------]  50 %  256 of 512 MiB  268 MB/s"
        );
        assert_eq!(
            line(512 * MIB, 512 * MIB, second),
            "  [##############################] 100 %  512 of 512 MiB  537 MB/s"
        );
    }
}
