//! Key files, read into the secret that both ends share.

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

/// A larger key file is taken for a mistake: an endless device, or not a key at all.
const KEY_MAX: u64 = 64 * 1024 * 1024;
/// A shorter key file gets a warning, in bytes.
const KEY_ENOUGH: u64 = 16;
const READ_AT_ONCE: usize = 8192;
/// How often it is asked whether anybody still waits for a key, in milliseconds.
const ASK_AGAIN: u16 = 100;

/// Where a key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The file at this path.
    File(PathBuf),
    /// Standard input, up to its end.
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

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The system refuses to open or read it.
    #[error("cannot read {key}: {}", .key.error(.error))]
    Read {
        /// The key.
        key: KeySource,
        /// Why not.
        error: io::Error,
    },
    /// It goes on for more than 64 MiB.
    #[error("{0} is longer than 64 MiB, which is no key")]
    Endless(KeySource),
    /// It was written while it was read.
    #[error("{0} changes while it is read")]
    Changing(KeySource),
    /// A reload finds no byte where there was a key.
    #[error("{0} is empty: with an empty key, anybody could connect")]
    Emptied(KeySource),
    /// A reload finds a part of a key, as far as it can tell.
    #[error(
        "{key} is shorter than before, {length} bytes of {before}: if that is all of it, restart the \
         daemon"
    )]
    Cut {
        /// The key.
        key: KeySource,
        /// Its length in bytes.
        length: u64,
        /// The length that it had.
        before: u64,
    },
    /// A reload finds a pipe or a device where there was a file.
    #[error("{0} is no regular file any more")]
    Special(KeySource),
    /// Nobody waits for it any more.
    #[error("{0} has not been written to its end")]
    Abandoned(KeySource),
}

/// A key that was read, and what is known of it.
#[derive(Debug)]
pub(crate) struct KeyFile {
    pub(crate) secret: Secret,
    /// In bytes.
    pub(crate) length: u64,
    /// Whether it can be read again: not a pipe, a device or a socket.
    pub(crate) is_regular: bool,
    pub(crate) warnings: Vec<KeyWarning>,
}

impl KeyFileError {
    pub(super) fn failed(source: &KeySource, error: io::Error) -> Self {
        let key = source.clone();
        Self::Read { key, error }
    }
}

/// What is unwise about a key that works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyWarning {
    /// Other users may read it.
    Readable {
        /// The key.
        key: KeySource,
        /// The file's permissions.
        mode: u32,
    },
    /// It can be guessed: fewer than 16 bytes, but some.
    Short {
        /// The key.
        key: KeySource,
        /// Its length in bytes.
        length: u64,
    },
    /// It holds nothing at all, so that everybody knows it.
    Empty(KeySource),
    /// So many more warnings there are about clients' key files.
    More(usize),
    /// Other users may put keys into this folder, or take them away; its permissions.
    Writable(PathBuf, u32),
    /// There is no key in this folder.
    Nobody(PathBuf),
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
            Self::More(count) => {
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
            Self::Nobody(folder) => write!(
                f,
                "key folder {} holds no key (NAME.key): nobody can connect",
                folder.display()
            ),
        }
    }
}

/// Reads a key, all bytes of it, into the secret that both ends share.
///
/// Pipes and devices are fine, and waited for. The bytes read are wiped from memory.
///
/// # Errors
///
/// The key cannot be read, is a directory, or does not end within 64 MiB.
pub fn read(source: &KeySource) -> Result<(Secret, Vec<KeyWarning>), KeyFileError> {
    let key = read_at_start(source)?;
    Ok((key.secret, key.warnings))
}

/// Reads a key, as [`read`] does.
pub(super) fn read_at_start(source: &KeySource) -> Result<KeyFile, KeyFileError> {
    let file = open(source, OpenOptions::new().read(true))?;
    read_open(source, file, &|| false)
}

fn open(source: &KeySource, options: &OpenOptions) -> Result<File, KeyFileError> {
    let file = match source {
        KeySource::File(path) => options.open(path),
        // Not through io::stdin, whose buffer would keep the key.
        KeySource::Stdin => io::stdin().as_fd().try_clone_to_owned().map(File::from),
    };
    file.map_err(|error| KeyFileError::failed(source, error))
}

/// Opens a key, and waits for nobody who has the other end of it.
pub(super) fn open_at_once(source: &KeySource) -> Result<File, KeyFileError> {
    let no_wait = OFlag::O_NONBLOCK.bits();
    open(source, OpenOptions::new().read(true).custom_flags(no_wait))
}

/// Reads a key that is open, as [`read`] does. Where reading would have to wait, it waits until
/// `is_abandoned`.
pub(super) fn read_open(
    source: &KeySource,
    mut file: File,
    is_abandoned: &dyn Fn() -> bool,
) -> Result<KeyFile, KeyFileError> {
    let failed = |error| KeyFileError::failed(source, error);
    let metadata = file.metadata().map_err(failed)?;

    let mut hasher = SecretHasher::new();
    let mut buffer = Zeroizing::new([0; READ_AT_ONCE]);
    let mut length: u64 = 0;
    // A pipe that nobody has opened to write would look like one that has ended.
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
    // The mode of a pipe or a device says nothing about where the key is kept.
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

/// Waits until there is something to read, or the end.
fn wait(
    source: &KeySource,
    file: &File,
    is_abandoned: &dyn Fn() -> bool,
) -> Result<(), KeyFileError> {
    let failed = |error: Errno| KeyFileError::failed(source, error.into());
    loop {
        let mut ready = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, ASK_AGAIN) {
            Ok(0) | Err(Errno::EINTR) if is_abandoned() => {
                return Err(KeyFileError::Abandoned(source.clone()));
            }
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Whether a service manager keeps it, in a folder that only this user can enter. The mode of such a
/// file shows as its group's what an ACL gives to the user, and says nothing about others.
fn is_credential(source: &KeySource) -> bool {
    let KeySource::File(path) = source else {
        return false;
    };
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    folder.is_some_and(|folder| folder.is_absolute() && path.parent() == Some(&folder))
}

#[cfg(test)]
mod tests;
