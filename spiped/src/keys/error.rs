//! The errors of the keys of a pipe.

use std::io;
use std::path::PathBuf;

use super::keyfile::KeyFileError;
use crate::os::sandbox::file_error;

/// The most keys of a pipe. More are a mistake: each handshake of a stranger is tried with all keys.
pub(super) const KEYS_MAX: usize = 10_000;

/// The reason why the keys of a pipe cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A key cannot be read.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The folder cannot be read.
    #[error("cannot read key folder {}: {}", .folder.display(), file_error(.folder, .error))]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The path is a folder, and the pipe takes one key.
    #[error("{} is a folder: only spiped -d takes many keys, so name one key file", .0.display())]
    Many(PathBuf),
    /// The source is a list of paths, and the pipe takes one key.
    #[error("only a decrypting pipe takes an array of keys: name one key file, in a string")]
    Several,
    /// With the keys at this path, the pipe has more than 10,000.
    #[error("with {} there are more than {KEYS_MAX} keys", .0.display())]
    TooMany(PathBuf),
    /// There is no key in these folders when the daemon starts, or where a pipe had one key before. A container
    /// engine makes an empty folder where the key file that it should mount is missing.
    #[error(
        "key folder {} holds no key: put a file NAME.key for each client into it, or a key file in its place",
        joined(.0)
    )]
    EmptyFolders(Vec<PathBuf>),
    /// The name of a key file gives no name of a client.
    #[error(
        "key file {0:?} is called after no client: up to the first dot its name has to be plain text"
    )]
    Name(PathBuf),
    /// The key file of a client is a device, a fifo or a socket.
    #[error("key file {} is no regular file", .0.display())]
    Special(PathBuf),
    /// The key file of a client is empty, so anybody could connect as this client.
    #[error("key file {} is empty", .0.display())]
    Empty(PathBuf),
}

/// Returns paths with commas in between.
pub(super) fn joined(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths.iter().map(|path| path.to_string_lossy()).collect();
    paths.join(", ")
}
