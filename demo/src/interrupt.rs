//! Ctrl-C and its like, turned into an error so that everything is cleaned up on the way out.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::DemoError;

/// What shells report for a program that SIGINT ended.
const STATUS_INTERRUPTED: i32 = 130;

/// Watches for SIGINT, SIGTERM and SIGHUP until dropped.
pub(crate) struct Interrupt {
    seen: Arc<AtomicBool>,
}

impl Interrupt {
    pub(crate) fn watch() -> io::Result<Self> {
        let seen = Arc::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // Asked twice, the program ends at once: the flag is up before the second signal.
            flag::register_conditional_shutdown(signal, STATUS_INTERRUPTED, Arc::clone(&seen))?;
            flag::register(signal, Arc::clone(&seen))?;
        }
        Ok(Self { seen })
    }

    /// An error once a signal has come.
    pub(crate) fn check(&self) -> Result<(), DemoError> {
        if self.seen.load(Ordering::Relaxed) {
            return Err(DemoError::Interrupted);
        }
        Ok(())
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        // Nothing is left to clean up: the next signal ends the program.
        self.seen.store(true, Ordering::Relaxed);
    }
}
