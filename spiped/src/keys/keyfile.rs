//! Reads key files into the secret that both ends share.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, poll};
use spiped_proto::{Secret, SecretHasher};
use zeroize::Zeroizing;

use crate::os::os_error::os_error;
use crate::os::sandbox::file_error;
use crate::os::stack::wiping_the_stack;

/// The most bytes of a key file. A larger one is a mistake: an endless device, or no key.
const KEY_MAX: u64 = 64 * 1024 * 1024;
/// The least bytes of a key file that gets no warning.
const KEY_ENOUGH: u64 = 16;
/// The most bytes that one read takes.
const READ_AT_ONCE: usize = 8192;
/// The time in milliseconds after which a read that waits checks whether it was abandoned.
const ABANDONED_CHECK: u16 = 100;

/// The source of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The file at this path.
    File(PathBuf),
    /// Standard input, which is read up to its end.
    Stdin,
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "key file {}", path.display()),
            Self::Stdin => f.write_str("key on standard input"),
        }
    }
}

impl KeySource {
    fn error(&self, error: &io::Error) -> String {
        match self {
            Self::File(path) => file_error(path, error),
            Self::Stdin => os_error(error),
        }
    }
}

/// The reason why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The system refuses to open or read the key.
    #[error("cannot read {key}: {}", .key.error(.error))]
    Read {
        /// The key.
        key: KeySource,
        /// The system's error.
        error: io::Error,
    },
    /// The key is longer than 64 MiB.
    #[error("{0} is longer than 64 MiB, which is no key")]
    Endless(KeySource),
    /// The key file was changed while it was read.
    #[error("{0} changes while it is read")]
    Changing(KeySource),
    /// A reload finds that the key is now empty.
    #[error("{0} is empty: with an empty key, anybody could connect")]
    Emptied(KeySource),
    /// A reload finds that the key is now shorter, and shorter than a key of `spiped keygen`.
    #[error(
        "{key} is shorter than before, {length} bytes of {before}: if that is all of it, restart the \
         daemon"
    )]
    Cut {
        /// The key.
        key: KeySource,
        /// The length of the key in bytes.
        length: u64,
        /// The length that the key had before, in bytes.
        before: u64,
    },
    /// A reload finds that the path is no regular file any more.
    #[error("{0} is no regular file any more")]
    Special(KeySource),
    /// The reload gave up waiting for the rest of the key.
    #[error("{0} has not been written to its end")]
    Abandoned(KeySource),
}

/// A key that was read.
#[derive(Debug)]
pub(crate) struct KeyFile {
    pub(crate) secret: Secret,
    /// The length of the key in bytes.
    pub(crate) length: u64,
    /// Whether the source is a regular file, which can be read again.
    pub(crate) is_regular: bool,
    pub(crate) warnings: Vec<KeyWarning>,
}

impl KeyFileError {
    pub(super) fn failed(source: &KeySource, error: io::Error) -> Self {
        let key = source.clone();
        Self::Read { key, error }
    }
}

/// A warning about a key that works, or about a folder of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyWarning {
    /// Other users may read the key file.
    Readable {
        /// The key.
        key: KeySource,
        /// The file's permissions.
        mode: u32,
    },
    /// The key has 1 to 15 bytes, so it may be guessed.
    Short {
        /// The key.
        key: KeySource,
        /// The length of the key in bytes.
        length: u64,
    },
    /// The key is empty, so everybody knows it.
    Empty(KeySource),
    /// The number of further warnings about clients' key files.
    Omitted(usize),
    /// Other users may add keys to this folder or remove them; the number is the folder's mode.
    Writable(PathBuf, u32),
    /// There is no key in this folder.
    EmptyFolder(PathBuf),
}

impl fmt::Display for KeyWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Readable { key, mode } => {
                write!(
                    f,
                    "{key} can be read by other users (mode {mode:04o}; use 0600)"
                )
            }
            Self::Short { key, length } => {
                let bytes = if *length == 1 { "byte" } else { "bytes" };
                write!(f, "{key} is only {length} {bytes} long and may be guessed")
            }
            Self::Empty(key) => write!(f, "{key} is empty: anybody can connect"),
            Self::Omitted(count) => {
                let noun = if *count == 1 { "warning" } else { "warnings" };
                write!(f, "{count} more {noun} about key files")
            }
            Self::Writable(folder, mode) => {
                write!(
                    f,
                    "key folder {} can be changed by other users (mode {mode:04o}; use 0700)",
                    folder.display()
                )
            }
            Self::EmptyFolder(folder) => write!(
                f,
                "key folder {} holds no key (NAME.key): nobody can connect",
                folder.display()
            ),
        }
    }
}

/// Reads a key up to its end into the secret that both ends share. Returns warnings too.
///
/// The source may be a fifo or a device; reading waits for it. The bytes that were read are wiped from
/// memory.
///
/// # Errors
///
/// The key cannot be read, is a directory, or does not end within 64 MiB.
pub fn read(source: &KeySource) -> Result<(Secret, Vec<KeyWarning>), KeyFileError> {
    let key = read_at_start(source)?;
    Ok((key.secret, key.warnings))
}

/// Reads a key as [`read`] does, and returns its length and kind as well.
pub(super) fn read_at_start(source: &KeySource) -> Result<KeyFile, KeyFileError> {
    let file = open(source, OpenOptions::new().read(true))?;
    read_open(source, file, &|| false)
}

fn open(source: &KeySource, options: &OpenOptions) -> Result<File, KeyFileError> {
    let file = match source {
        KeySource::File(path) => options.open(path),
        // io::stdin has a buffer, which would keep the key.
        KeySource::Stdin => io::stdin().as_fd().try_clone_to_owned().map(File::from),
    };
    file.map_err(|error| KeyFileError::failed(source, error))
}

/// Opens a key without waiting, even if it is a fifo that no writer has open.
pub(super) fn open_nonblocking(source: &KeySource) -> Result<File, KeyFileError> {
    let no_wait = OFlag::O_NONBLOCK.bits();
    open(source, OpenOptions::new().read(true).custom_flags(no_wait))
}

/// Reads a key from an open file as [`read`] does. If it has to wait for the file, it gives up once it
/// `is_abandoned`.
pub(super) fn read_open(
    source: &KeySource,
    file: File,
    is_abandoned: &dyn Fn() -> bool,
) -> Result<KeyFile, KeyFileError> {
    wiping_the_stack(|| hash(source, file, is_abandoned))
}

fn hash(
    source: &KeySource,
    mut file: File,
    is_abandoned: &dyn Fn() -> bool,
) -> Result<KeyFile, KeyFileError> {
    let failed = |error| KeyFileError::failed(source, error);
    let metadata = file.metadata().map_err(failed)?;

    let mut hasher = SecretHasher::new();
    let mut buffer = Zeroizing::new([0; READ_AT_ONCE]);
    let mut length: u64 = 0;
    // A fifo that no writer has open yet would read as if it had ended, so wait first.
    let mut would_wait = !metadata.is_file() && is_nonblocking(&file);
    loop {
        if would_wait {
            wait(source, &file, is_abandoned)?;
        }
        let bytes = match file.read(&mut buffer[..]) {
            Ok(0) => break,
            Ok(count) => &buffer[..count],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                would_wait = true;
                continue;
            }
            Err(error) => return Err(failed(error)),
        };
        length += bytes.len() as u64;
        if length > KEY_MAX {
            return Err(KeyFileError::Endless(source.clone()));
        }
        hasher.update(bytes);
    }
    let after = file.metadata().map_err(failed)?;
    let state = |of: &Metadata| (of.len(), of.mtime(), of.mtime_nsec());
    if metadata.is_file() && state(&metadata) != state(&after) {
        return Err(KeyFileError::Changing(source.clone()));
    }

    let mut warnings = Vec::new();
    let mode = metadata.permissions().mode() & 0o7777;
    // The mode of a fifo or a device does not say who may read the place where the key is kept.
    if metadata.is_file() && !is_credential(source) && mode & 0o044 != 0 {
        warnings.push(KeyWarning::Readable {
            key: source.clone(),
            mode,
        });
    }
    if length == 0 {
        warnings.push(KeyWarning::Empty(source.clone()));
    } else if length < KEY_ENOUGH {
        warnings.push(KeyWarning::Short {
            key: source.clone(),
            length,
        });
    }
    Ok(KeyFile {
        secret: hasher.finish(),
        length,
        is_regular: metadata.is_file(),
        warnings,
    })
}

fn is_nonblocking(file: &File) -> bool {
    let flags = fcntl(file, FcntlArg::F_GETFL).unwrap_or(0);
    OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
}

/// Waits until the file has data or has ended.
///
/// # Errors
///
/// The wait `is_abandoned`, or the system refuses it.
fn wait(
    source: &KeySource,
    file: &File,
    is_abandoned: &dyn Fn() -> bool,
) -> Result<(), KeyFileError> {
    let failed = |error: Errno| KeyFileError::failed(source, error.into());
    loop {
        let mut ready = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, ABANDONED_CHECK) {
            Ok(0) | Err(Errno::EINTR) if is_abandoned() => {
                return Err(KeyFileError::Abandoned(source.clone()));
            }
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Whether a service manager keeps the key, in a folder that only this user can enter. Such a file may have
/// an ACL for the user, which its mode shows as permissions of the group, so its mode is no cause for a
/// warning.
fn is_credential(source: &KeySource) -> bool {
    let KeySource::File(path) = source else {
        return false;
    };
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    folder.is_some_and(|folder| folder.is_absolute() && path.parent() == Some(&folder))
}

#[cfg(test)]
mod tests;
