//! The signals that ask the daemon to end.

use std::io;

use nix::sys::signal::{SigHandler, SigSet, Signal, raise, signal};
use tokio::signal::unix::{self, SignalKind};

/// Keeps SIGTERM waiting until [`Termination::watch`]: who sees the daemon listen may end it, in good
/// order, from then on.
pub(crate) fn hold_termination() -> io::Result<()> {
    Ok(held().thread_block()?)
}

fn held() -> SigSet {
    SigSet::from(Signal::SIGTERM)
}

/// Watches for requests to end: SIGTERM, and SIGINT where it would have no effect otherwise.
#[derive(Debug)]
pub(crate) struct Termination {
    terminate: unix::Signal,
    /// The kernel gives the first process of a container no default action for SIGINT. Others end
    /// at once by it, as any program in a terminal.
    interrupt: Option<unix::Signal>,
}

impl Termination {
    /// Starts to watch; from now on SIGTERM does not end the process by itself.
    pub(crate) fn watch() -> io::Result<Self> {
        let first_process = std::process::id() == 1;
        let interrupt = first_process.then(|| unix::signal(SignalKind::interrupt()));
        let terminate = unix::signal(SignalKind::terminate())?;
        held().thread_unblock()?;
        Ok(Self {
            terminate,
            interrupt: interrupt.transpose()?,
        })
    }

    /// Waits for the next request.
    pub(crate) async fn requested(&mut self) {
        match &mut self.interrupt {
            None => drop(self.terminate.recv().await),
            Some(interrupt) => {
                tokio::select! {
                    _ = self.terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
        }
    }

    /// Ends the process by SIGTERM, as if nobody had watched.
    pub(crate) fn obey(&self) -> ! {
        // SAFETY: the default action replaces tokio's handler; no handler of ours is installed.
        let _ = unsafe { signal(Signal::SIGTERM, SigHandler::SigDfl) };
        let _ = raise(Signal::SIGTERM);
        // The first process of a container survives that.
        std::process::exit(128 + Signal::SIGTERM as i32)
    }
}
