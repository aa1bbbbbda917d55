//! The signals that ask the daemon for something: to end, or to read its settings again.

use std::io::{self, IsTerminal};

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, raise, signal};
use tokio::signal::unix::{self, SignalKind};

use super::system_error::{SystemError, cannot};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// To end once connections have (SIGTERM).
    End,
    /// To read settings and keys again (SIGHUP).
    Reload,
}

/// Keeps SIGHUP waiting until [`Requests::watch`], and sees to it that SIGTERM ends a start at once, of
/// the first process of a container too.
pub(crate) fn starting() -> Result<(), SystemError> {
    watch_for_end().map_err(cannot("watch for signals"))
}

fn watch_for_end() -> nix::Result<()> {
    SigSet::from(Signal::SIGHUP).thread_block()?;
    if is_first_process() {
        let end = SigHandler::Handler(end_at_once);
        for number in [Signal::SIGTERM, Signal::SIGINT] {
            // SAFETY: the handler makes one system call, which is safe in a handler.
            unsafe { signal(number, end) }?;
        }
    }
    Ok(())
}

/// Keeps SIGTERM waiting too: who sees the daemon listen may ask it to end as it should.
pub(crate) fn hold() -> Result<(), SystemError> {
    held().thread_block().map_err(cannot("hold signals"))
}

/// Does what may take its time while signals are held. SIGTERM ends the process meanwhile, as if nobody
/// watched.
pub(crate) fn interruptible<T>(work: impl FnOnce() -> T) -> Result<T, SystemError> {
    let end = SigSet::from(Signal::SIGTERM);
    let before = end.thread_swap_mask(SigmaskHow::SIG_UNBLOCK);
    let before = before.map_err(cannot("let signals through"))?;
    let done = work();
    before.thread_set_mask().map_err(cannot("hold signals"))?;
    Ok(done)
}

fn held() -> SigSet {
    [Signal::SIGTERM, Signal::SIGHUP].into_iter().collect()
}

/// The kernel gives the first process of a container no default action for signals.
fn is_first_process() -> bool {
    std::process::id() == 1
}

extern "C" fn end_at_once(number: nix::libc::c_int) {
    // SAFETY: it ends the process and runs nothing of it, whatever the signal interrupted.
    unsafe { nix::libc::_exit(128 + number) }
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
        let first_process = is_first_process();
        if first_process {
            // tokio's handler would call the one of the start as well.
            for number in [Signal::SIGTERM, Signal::SIGINT] {
                // SAFETY: the default action is no handler of ours.
                unsafe { signal(number, SigHandler::SigDfl) }?;
            }
        }
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
