//! Tells the supervisor of the process (sd_notify(3)) that the daemon is up, that it reloads, that
//! it ends, and every so often that it is alive.
//!
//! Nothing here fails: a supervisor that does not listen is treated as none.

use std::env;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::pipe::task;
use crate::pipe::workers::Workers;

/// The number of tries to send a message while the queue of the supervisor is full.
const TRIES: usize = 20;
/// The time between two tries.
const BETWEEN_TRIES: Duration = Duration::from_millis(50);

/// The longest status text in bytes; the supervisor drops a message that is too long as a whole.
const STATUS_MAX: usize = 500;

/// The shortest time between two signs of life that are sent.
const SHORTEST: Duration = Duration::from_millis(1);

/// The supervisor that started the process, if there is one.
#[derive(Clone, Debug, Default)]
pub struct Supervisor {
    socket: Option<Arc<UnixDatagram>>,
    /// The id of the process that the supervisor started.
    started: u32,
    /// The longest time between two signs of life that the supervisor accepts.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// Connects to the supervisor that `NOTIFY_SOCKET` names. Has to be called before any fork, so that its
    /// own process id is the one that the supervisor knows, and before the sandbox, which forbids it.
    #[must_use]
    pub fn from_environment() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| connect(&name).ok());
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        let started = std::process::id();
        let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(started));
        let watchdog = number("WATCHDOG_USEC").filter(|&micros| is_meant && micros > 0);
        Self {
            socket: socket.map(Arc::new),
            started,
            watchdog: watchdog.map(Duration::from_micros),
        }
    }

    /// Tells that the daemon is not up yet and `why`, and asks for `longer` more time.
    pub(crate) fn waiting(&self, why: impl Display, longer: Duration) {
        let micros = longer.as_micros();
        let _ = self.say(&format!(
            "EXTEND_TIMEOUT_USEC={micros}\n{}",
            status(why.to_string())
        ));
    }

    /// Tells that the daemon is up, at the start or after [`Supervisor::reloading`], and what it runs.
    pub(crate) async fn ready(&self, what: impl Display) {
        let mut text = format!("READY=1\n{}", status(what.to_string()));
        let process = std::process::id();
        if process != self.started {
            text += &format!("MAINPID={process}\n");
        }
        self.insist(&text).await;
    }

    /// Tells that a reload has begun.
    pub(crate) async fn reloading(&self) {
        let mut text = "RELOADING=1\n".to_owned();
        if let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) {
            text += &format!("MONOTONIC_USEC={}\n", Duration::from(now).as_micros());
        }
        self.insist(&text).await;
    }

    /// Tells that the daemon drains.
    pub(crate) async fn stopping(&self) {
        let what = "waiting for connections to end".to_owned();
        self.insist(&format!("STOPPING=1\n{}", status(what))).await;
    }

    /// Sends signs of life, twice as often as the supervisor expects them, while all workers respond.
    pub(crate) fn keep_informed(&self, workers: Arc<Workers>) {
        let (Some(_), Some(within)) = (&self.socket, self.watchdog) else {
            return;
        };
        let supervisor = self.clone();
        let beat = move |supervisor: Self, workers: Arc<Workers>| async move {
            let mut beat = tokio::time::interval((within / 2).max(SHORTEST));
            beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                beat.tick().await;
                workers.respond().await;
                let _ = supervisor.say("WATCHDOG=1\n");
            }
        };
        tokio::spawn(task::forever(move || {
            beat(supervisor.clone(), Arc::clone(&workers))
        }));
    }

    /// Sends a message, and tries again while the queue of the supervisor is full.
    async fn insist(&self, text: &str) {
        for _ in 0..TRIES {
            match self.say(text) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tokio::time::sleep(BETWEEN_TRIES).await;
                }
                _ => return,
            }
        }
    }

    fn say(&self, text: &str) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            socket.send(text.as_bytes())?;
        }
        Ok(())
    }
}

/// Returns the status line, with control characters replaced: a file's name may have line breaks.
fn status(what: String) -> String {
    let line: String = what.chars().take(STATUS_MAX).collect();
    format!("STATUS={}\n", line.replace(char::is_control, " "))
}

fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => of_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Returns the address of an abstract socket.
#[cfg(target_os = "linux")]
fn of_name(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;

    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn of_name(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}
