//! Key files, read into the secret that both ends share.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use nix::fcntl::OFlag;
use spiped_proto::{Secret, SecretHasher};
use zeroize::Zeroizing;

use crate::os::os_error::os_error;

/// A larger key file is taken for a mistake: an endless device, or not a key at all.
const KEY_MAX: u64 = 64 * 1024 * 1024;
/// A shorter key file gets a warning, in bytes.
const KEY_ENOUGH: u64 = 16;
const READ_AT_ONCE: usize = 8192;

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

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The system refuses to open or read it.
    #[error("cannot read {key}: {}", os_error(.error))]
    Read {
        /// The key.
        key: KeySource,
        /// Why not.
        error: io::Error,
    },
    /// It goes on for more than 64 MiB.
    #[error("{0} is longer than 64 MiB, which is no key")]
    Endless(KeySource),
}

impl KeyFileError {
    fn failed(source: &KeySource, error: io::Error) -> Self {
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
    let file = open(source, OpenOptions::new().read(true))?;
    read_open(source, file)
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
pub(crate) fn open_at_once(source: &KeySource) -> Result<File, KeyFileError> {
    let no_wait = OFlag::O_NONBLOCK.bits();
    open(source, OpenOptions::new().read(true).custom_flags(no_wait))
}

/// Reads a key, as [`read`] does.
pub(crate) fn read_open(
    source: &KeySource,
    mut file: File,
) -> Result<(Secret, Vec<KeyWarning>), KeyFileError> {
    let failed = |error| KeyFileError::failed(source, error);
    let metadata = file.metadata().map_err(failed)?;

    let mut hasher = SecretHasher::new();
    let mut buffer = Zeroizing::new([0; READ_AT_ONCE]);
    let mut length: u64 = 0;
    loop {
        let bytes = match file.read(&mut buffer[..]) {
            Ok(0) => break,
            Ok(count) => &buffer[..count],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        length += bytes.len() as u64;
        if length > KEY_MAX {
            return Err(KeyFileError::Endless(source.clone()));
        }
        hasher.update(bytes);
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
    Ok((hasher.finish(), warnings))
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
