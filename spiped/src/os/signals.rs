//! The signals that the daemon obeys: SIGTERM (and at times SIGINT) ends it, SIGHUP reloads its
//! configuration. A signal that comes before the daemon can obey it is blocked, so the kernel keeps it.

use std::io::{self, IsTerminal};

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, raise, signal};
use tokio::signal::unix::{self, SignalKind};

use super::system_error::{SystemError, cannot};

/// The request that a signal makes of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// End once all connections have ended (SIGTERM).
    End,
    /// Read the configuration and the keys again (SIGHUP).
    Reload,
}

/// The meaning of SIGHUP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HangUp {
    /// It asks for a reload.
    Reloads,
    /// The terminal is gone, so it ends the process, as it ends any program in the foreground there.
    Ends,
}

impl HangUp {
    /// Returns what SIGHUP is to mean for this process. The sandbox hides whether there is a terminal, so
    /// ask before.
    pub(crate) fn of(foreground: bool) -> Self {
        match foreground && io::stdin().is_terminal() {
            true => Self::Ends,
            false => Self::Reloads,
        }
    }
}

/// Blocks SIGHUP until [`Requests::watch`]. SIGTERM ends the process at once from now on, also where it is
/// the first process of a container. SIGXFSZ does not: a log that may not grow (`ulimit -f`) loses lines, as on
/// a full disk.
///
/// # Errors
///
/// The system refuses to block a signal, or to ignore or handle one.
pub(crate) fn block_reload() -> Result<(), SystemError> {
    watch_for_end().map_err(cannot("watch for signals"))
}

fn watch_for_end() -> nix::Result<()> {
    SigSet::from(Signal::SIGHUP).thread_block()?;
    // SAFETY: this ignores the signal and installs no handler.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }?;
    if is_first_process() {
        let end = SigHandler::Handler(end_at_once);
        for number in [Signal::SIGTERM, Signal::SIGINT] {
            // SAFETY: the handler makes one system call, which is safe in a handler.
            unsafe { signal(number, end) }?;
        }
    }
    Ok(())
}

/// Blocks SIGTERM as well as SIGHUP until [`Requests::watch`]. Call it before the daemon listens: from then
/// on others may connect, so SIGTERM has to end it in order.
///
/// # Errors
///
/// The system refuses to block a signal.
pub(crate) fn block_all() -> Result<(), SystemError> {
    both().thread_block().map_err(cannot("hold signals"))
}

/// Runs `work`, which may take long, with SIGTERM unblocked: SIGTERM ends the process meanwhile.
///
/// # Errors
///
/// The system refuses to change which signals are blocked.
pub(crate) fn interruptible<T>(work: impl FnOnce() -> T) -> Result<T, SystemError> {
    let end = SigSet::from(Signal::SIGTERM);
    let before = end.thread_swap_mask(SigmaskHow::SIG_UNBLOCK);
    let before = before.map_err(cannot("let signals through"))?;
    let done = work();
    before.thread_set_mask().map_err(cannot("hold signals"))?;
    Ok(done)
}

fn both() -> SigSet {
    [Signal::SIGTERM, Signal::SIGHUP].into_iter().collect()
}

/// Whether this is the first process of a container, for which the kernel ignores a signal that has no
/// handler.
fn is_first_process() -> bool {
    std::process::id() == 1
}

extern "C" fn end_at_once(number: nix::libc::c_int) {
    // SAFETY: _exit(2) may be called in a signal handler; it ends the process and runs none of its code.
    unsafe { nix::libc::_exit(128 + number) }
}

/// The signals that the running daemon waits for.
#[derive(Debug)]
pub(crate) struct Requests {
    terminate: unix::Signal,
    /// SIGINT; `Some` in the first process of a container, where it works as SIGTERM does, because the
    /// kernel would ignore it. SIGINT ends any other process at once, as it ends any program in a terminal.
    interrupt: Option<unix::Signal>,
    /// SIGHUP; `None` where it ends the process.
    hang_up: Option<unix::Signal>,
}

impl Requests {
    /// Starts to wait for signals, and unblocks them. From now on SIGTERM does not end the process by
    /// itself.
    ///
    /// # Errors
    ///
    /// The system refuses a handler.
    pub(crate) fn watch(meaning: HangUp) -> io::Result<Self> {
        let first_process = is_first_process();
        if first_process {
            // tokio's handler would also call the handler that `block_reload` installed.
            for number in [Signal::SIGTERM, Signal::SIGINT] {
                // SAFETY: this restores the default action and installs no handler.
                unsafe { signal(number, SigHandler::SigDfl) }?;
            }
        }
        let interrupt = first_process.then(|| unix::signal(SignalKind::interrupt()));
        let hang_up = (meaning == HangUp::Reloads).then(|| unix::signal(SignalKind::hangup()));
        let terminate = unix::signal(SignalKind::terminate())?;
        let requests = Self {
            terminate,
            interrupt: interrupt.transpose()?,
            hang_up: hang_up.transpose()?,
        };
        both().thread_unblock()?;
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

    /// Waits for the next request to end. A request to reload is left for [`next`](Self::next).
    pub(crate) async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            () = received(&mut self.interrupt) => {}
        }
    }

    /// Ends the process by SIGTERM, so that its parent sees that signal.
    pub(crate) fn die_of_sigterm(&self) -> ! {
        // SAFETY: this restores the default action and installs no handler.
        let _ = unsafe { signal(Signal::SIGTERM, SigHandler::SigDfl) };
        let _ = raise(Signal::SIGTERM);
        // The first process of a container survives the signal.
        std::process::exit(128 + Signal::SIGTERM as i32)
    }
}

async fn received(signal: &mut Option<unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
