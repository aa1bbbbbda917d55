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

use crate::reason::reason;

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
    #[error("cannot read {key}: {}", reason(.error))]
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
mod tests {
    use std::fs::{self, OpenOptions};

    use spiped_proto::{Entropy, ForwardSecrecy, Step};

    use super::*;
    use crate::tempdir::TempDir;

    fn key_file(dir: &TempDir, contents: &[u8], mode: u32) -> KeySource {
        let path = dir.path().join("key");
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        KeySource::File(path)
    }

    /// What a client with fixed randomness sends: equal for equal secrets, and only for them.
    fn fingerprint(secret: &Secret) -> Vec<u8> {
        let entropy = Entropy::take(&mut [7; Entropy::LEN]);
        let mut step = Step::client(secret, ForwardSecrecy::Disabled, entropy);
        let mut nonce: &[u8] = &[0; 32];
        let mut sent = Vec::new();
        loop {
            step = match step {
                Step::Send(outgoing) => {
                    sent.extend_from_slice(outgoing.bytes());
                    outgoing.sent()
                }
                Step::Receive(incoming) if !nonce.is_empty() => {
                    let (used, next) = incoming.feed(nonce).unwrap();
                    nonce = &nonce[used..];
                    next
                }
                Step::Compute(computation) => computation.run().unwrap(),
                _ => return sent,
            };
        }
    }

    #[test]
    fn a_key_is_all_bytes_of_its_file() {
        let dir = TempDir::new("key").unwrap();
        let long: Vec<u8> = (0..3 * READ_AT_ONCE + 1).map(|n| n as u8).collect();
        for contents in [
            &b"sixteen bytes..\n"[..],
            &[0; 32],
            &long[..READ_AT_ONCE],
            &long,
        ] {
            let (secret, warnings) = read(&key_file(&dir, contents, 0o600)).unwrap();
            assert_eq!(
                fingerprint(&secret),
                fingerprint(&Secret::from_key_file(contents))
            );
            assert_ne!(
                fingerprint(&secret),
                fingerprint(&Secret::from_key_file(b"other"))
            );
            assert_eq!(warnings, []);
        }
    }

    #[test]
    fn a_key_that_others_can_read_gets_a_warning() {
        let dir = TempDir::new("key").unwrap();
        for mode in [0o600, 0o400, 0o700, 0o622] {
            let (_, warnings) = read(&key_file(&dir, &[1; 32], mode)).unwrap();
            assert_eq!(warnings, [], "{mode:o}");
        }
        for mode in [0o640, 0o604, 0o644, 0o777] {
            let key = key_file(&dir, &[1; 32], mode);
            let (_, warnings) = read(&key).unwrap();
            assert_eq!(warnings, [KeyWarning::Readable { key, mode }]);
        }
    }

    #[test]
    fn short_and_empty_keys_work_with_a_warning() {
        let dir = TempDir::new("key").unwrap();
        for length in [1, 15] {
            let key = key_file(&dir, &vec![1; length], 0o600);
            let (_, warnings) = read(&key).unwrap();
            let length = length as u64;
            assert_eq!(warnings, [KeyWarning::Short { key, length }]);
        }
        let key = key_file(&dir, &[], 0o600);
        let (secret, warnings) = read(&key).unwrap();
        assert_eq!(
            fingerprint(&secret),
            fingerprint(&Secret::from_key_file(b""))
        );
        assert_eq!(warnings, [KeyWarning::Empty(key)]);
    }

    #[test]
    fn warnings_name_the_file() {
        let key = KeySource::File("/etc/spiped/key".into());
        let warning = KeyWarning::Readable {
            key: key.clone(),
            mode: 0o644,
        };
        assert_eq!(
            warning.to_string(),
            "key file /etc/spiped/key can be read by other users (mode 0644; use 0600)"
        );
        let warning = KeyWarning::Short { key, length: 1 };
        assert_eq!(
            warning.to_string(),
            "key file /etc/spiped/key is only 1 byte long and may be guessed"
        );
    }

    #[test]
    fn a_missing_file_and_a_directory_are_errors_that_name_them() {
        let dir = TempDir::new("key").unwrap();
        let path = dir.path().join("absent");
        let error = read(&KeySource::File(path.clone())).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot read key file {}: no such file or directory",
                path.display()
            )
        );
        let error = read(&KeySource::File(dir.path().to_owned())).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot read key file {}: is a directory",
                dir.path().display()
            )
        );
    }

    #[test]
    fn an_endless_file_is_an_error() {
        let error = read(&KeySource::File("/dev/zero".into())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "key file /dev/zero is longer than 64 MiB, which is no key"
        );
    }

    #[test]
    fn a_file_of_the_greatest_length_is_fine_and_one_byte_more_is_not() {
        let dir = TempDir::new("key").unwrap();
        let key = key_file(&dir, &[], 0o600);
        let KeySource::File(path) = &key else {
            unreachable!()
        };
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(KEY_MAX).unwrap();
        read(&key).unwrap();
        file.set_len(KEY_MAX + 1).unwrap();
        assert!(matches!(read(&key), Err(KeyFileError::Endless(_))));
    }
}
