//! Ctrl-C and its like, turned into an error so that everything is cleaned up on the way out.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::DemoError;

/// What shells report for a program that SIGINT ended.
const STATUS_INTERRUPTED: i32 = 130;

/// Watches for SIGINT, SIGTERM and SIGHUP until dropped.
pub(super) struct Interrupt {
    seen: Arc<AtomicBool>,
}

impl Interrupt {
    pub(super) fn watch() -> io::Result<Self> {
        let seen = Arc::new(AtomicBool::new(false));
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let context = runtime.enter();
        for kind in [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ] {
            runtime.spawn(note(signal(kind)?, Arc::clone(&seen)));
        }
        drop(context);
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
        Ok(Self { seen })
    }

    /// An error once a signal has come.
    pub(super) fn check(&self) -> Result<(), DemoError> {
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

async fn note(mut signals: Signal, seen: Arc<AtomicBool>) {
    while signals.recv().await.is_some() {
        if seen.swap(true, Ordering::Relaxed) {
            // Asked twice, it goes at once.
            std::process::exit(STATUS_INTERRUPTED);
        }
    }
}
