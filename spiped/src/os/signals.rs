//! The signals that ask the daemon for something: to end, or to read its settings again.

use std::io::{self, IsTerminal};
use std::time::Duration;

use nix::sys::signal::{SigHandler, SigSet, Signal, raise, signal};
use tokio::signal::unix::{self, SignalKind};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// To end once connections have (SIGTERM).
    End,
    /// To read settings and keys again (SIGHUP).
    Reload,
}

/// Keeps signals waiting until [`Requests::watch`]: who sees the daemon listen may ask it for
/// something from then on.
pub(crate) fn hold() -> io::Result<()> {
    Ok(held().thread_block()?)
}

/// Sleeps while signals are held, but for SIGTERM, which ends the process as if nobody watched.
pub(crate) fn sleep(time: Duration) -> io::Result<()> {
    let end = SigSet::from(Signal::SIGTERM);
    end.thread_unblock()?;
    std::thread::sleep(time);
    Ok(end.thread_block()?)
}

fn held() -> SigSet {
    [Signal::SIGTERM, Signal::SIGHUP].into_iter().collect()
}

/// Watches for requests.
#[derive(Debug)]
pub(crate) struct Requests {
    terminate: unix::Signal,
    /// SIGINT ends as SIGTERM does where it would have no effect otherwise: the kernel gives the
    /// first process of a container no default action for it. Others end at once by it, as any
    /// program in a terminal.
    interrupt: Option<unix::Signal>,
    /// SIGHUP says that a terminal is gone where there is one, and ends the process as ever.
    hang_up: Option<unix::Signal>,
}

impl Requests {
    /// Starts to watch; from now on SIGTERM does not end the process by itself.
    pub(crate) fn watch(foreground: bool) -> io::Result<Self> {
        let first_process = std::process::id() == 1;
        let interrupt = first_process.then(|| unix::signal(SignalKind::interrupt()));
        let in_terminal = foreground && io::stdin().is_terminal();
        let hang_up = (!in_terminal).then(|| unix::signal(SignalKind::hangup()));
        let terminate = unix::signal(SignalKind::terminate())?;
        let requests = Self {
            terminate,
            interrupt: interrupt.transpose()?,
            hang_up: hang_up.transpose()?,
        };
        held().thread_unblock()?;
        Ok(requests)
    }

    /// Waits for the next request.
    pub(crate) async fn next(&mut self) -> Request {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Request::End,
            () = received(&mut self.interrupt) => Request::End,
            () = received(&mut self.hang_up) => Request::Reload,
        }
    }

    /// Waits for the next request to end; one to reload is kept for [`next`](Self::next).
    pub(crate) async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            () = received(&mut self.interrupt) => {}
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

async fn received(signal: &mut Option<unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
