//! Asks a running daemon over its control socket: `spiped status` and `spiped reload`.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use spiped_tokio::connect_unix;

use super::status::Status;
use crate::os::os_error::os_error;

/// The time that the daemon has to accept a connection and to answer with its status.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time that the daemon has to answer a reload, which takes half a minute and may wait for an earlier
/// one.
const RELOAD_PATIENCE: Duration = Duration::from_secs(90);
/// The most bytes of an answer; no daemon gives a longer one.
const ANSWER_MAX: usize = 256 * 1024 * 1024;

/// The error of a request to the daemon.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No daemon listens at the control socket, or this user may not connect.
    #[error("cannot ask the daemon at {}: {}", .path.display(), os_error(.error))]
    Connect {
        /// The control socket.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// No answer came in time; a daemon that is there is stopped or hangs.
    #[error("the daemon at {} does not answer within {} seconds", .path.display(), .within.as_secs())]
    Silent {
        /// The control socket.
        path: PathBuf,
        /// The time that the answer had.
        within: Duration,
    },
    /// Another program listens there, or the daemon has ended meanwhile.
    #[error("{} gives no answer of a spiped", .0.display())]
    Answer(PathBuf),
    /// The daemon refused, and said why.
    #[error("{0}")]
    Refused(String),
}

/// Has the daemon read its configuration again. Returns a line about what has changed.
///
/// # Errors
///
/// The daemon cannot be asked, or all that is wrong with the settings.
pub fn reload(control: &Path) -> Result<String, ClientError> {
    let text = ask(control, "POST", "/reload", RELOAD_PATIENCE)?;
    Ok(text.trim_end().to_owned())
}

/// Returns the status of the daemon: a table, with connections if `connections`, or all of it as
/// JSON.
///
/// # Errors
///
/// The daemon cannot be asked.
pub fn status(control: &Path, connections: bool, json: bool) -> Result<String, ClientError> {
    let text = ask(control, "GET", "/status", PATIENCE)?;
    if json {
        return Ok(format!("{}\n", text.trim_end()));
    }
    let status: Result<Status, _> = serde_json::from_str(&text);
    let status = status.map_err(|_| ClientError::Answer(control.to_owned()))?;
    Ok(status.table(connections))
}

/// Sends a request of HTTP/1.0 and returns the body of the answer, which ends with the connection.
fn ask(
    control: &Path,
    method: &str,
    path: &str,
    patience: Duration,
) -> Result<String, ClientError> {
    let failed = |error: io::Error, within| {
        let path = control.to_owned();
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                ClientError::Silent { path, within }
            }
            _ => ClientError::Connect { path, error },
        }
    };
    let socket = connect_unix(control, PATIENCE).map_err(|error| failed(error, PATIENCE))?;
    let answer = exchange(socket, method, path, patience);
    let answer = answer.map_err(|error| failed(error, patience))?;
    let strange = || ClientError::Answer(control.to_owned());
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(strange)?;
    let status = head.split(' ').nth(1).ok_or_else(strange)?;
    match status {
        "200" => Ok(body.to_owned()),
        "422" | "503" => Err(ClientError::Refused(body.trim_end().to_owned())),
        _ => Err(strange()),
    }
}

fn exchange(
    mut socket: UnixStream,
    method: &str,
    path: &str,
    patience: Duration,
) -> io::Result<String> {
    let deadline = Instant::now() + patience;
    let left = || match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::Error::from(io::ErrorKind::TimedOut)),
        left => Ok(Some(left)),
    };
    socket.set_write_timeout(left()?)?;
    write!(socket, "{method} {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut buffer = [0; 64 * 1024];
    while answer.len() <= ANSWER_MAX {
        // One time for all of it, so that a few bytes now and then are no answer.
        socket.set_read_timeout(left()?)?;
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(buffer.split_at(length).0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    String::from_utf8(answer).map_err(io::Error::other)
}
