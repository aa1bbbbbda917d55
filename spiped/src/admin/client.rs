//! Asks a running daemon over its control socket: `spiped status` and `spiped reload`.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use spiped_tokio::connect_unix;

use super::status::Status;
use crate::os::os_error::os_error;

/// How long the daemon may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take: a reload may look names up.
const PATIENCE: Duration = Duration::from_secs(300);
/// The longest answer of a daemon, in bytes.
const ANSWER_MAX: u64 = 256 * 1024 * 1024;

/// Why the daemon did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No daemon listens at the control socket, or this user may not connect.
    #[error("cannot ask the daemon at {}: {}", .path.display(), os_error(.error))]
    Connect {
        /// The control socket.
        path: PathBuf,
        /// Why not.
        error: io::Error,
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
    let text = ask(control, "POST", "/reload")?;
    Ok(text.trim_end().to_owned())
}

/// Returns the status of the daemon: a table, with connections if `connections`, or all of it as
/// JSON.
///
/// # Errors
///
/// The daemon cannot be asked.
pub fn status(control: &Path, connections: bool, json: bool) -> Result<String, ClientError> {
    let text = ask(control, "GET", "/status")?;
    if json {
        return Ok(format!("{}\n", text.trim_end()));
    }
    let status: Result<Status, _> = serde_json::from_str(&text);
    let status = status.map_err(|_| ClientError::Answer(control.to_owned()))?;
    Ok(status.table(connections))
}

/// Sends a request of HTTP/1.0 and returns the body of the answer, which ends with the connection.
fn ask(control: &Path, method: &str, path: &str) -> Result<String, ClientError> {
    let answer = exchange(control, method, path).map_err(|error| ClientError::Connect {
        path: control.to_owned(),
        error,
    })?;
    let strange = || ClientError::Answer(control.to_owned());
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(strange)?;
    let status = head.split(' ').nth(1).ok_or_else(strange)?;
    match status {
        "200" => Ok(body.to_owned()),
        "422" | "503" => Err(ClientError::Refused(body.trim_end().to_owned())),
        _ => Err(strange()),
    }
}

fn exchange(control: &Path, method: &str, path: &str) -> io::Result<String> {
    let mut socket = connect_unix(control, CONNECT)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    write!(socket, "{method} {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    socket.take(ANSWER_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}
