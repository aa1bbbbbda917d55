//! Where the keys of a pipe are, and how they are read.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::Arc;

use spiped_proto::Secret;

use super::{Entry, Keys};
use crate::keys::keyfile::{self, KeyFileError, KeySource, KeyWarning};
use crate::os::os_error::os_error;

/// More keys are taken for a mistake: each hello of a stranger is tried with each of them.
pub(super) const KEYS_MAX: usize = 10_000;
/// So many warnings about the key files of clients are worth reading.
const WARNINGS_MAX: usize = 3;
/// What a key file in a folder ends in. Whatever ends otherwise is no key: it may be what an editor
/// or a package manager left, or a key that somebody took away by renaming it.
const SUFFIX: &[u8] = b".key";

/// How many keys an end of a pipe takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyCount {
    /// One: an encrypting end has to know which key to connect with.
    One,
    /// One, or one for each client: a decrypting end tries all that it has.
    Many,
}

/// Where the keys of a pipe are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysSource {
    /// One key, or a folder of clients' keys.
    One(KeySource),
    /// Key files, each of the client that it is called after, and folders of them.
    Clients(Vec<PathBuf>),
}

impl From<KeySource> for KeysSource {
    fn from(one: KeySource) -> Self {
        Self::One(one)
    }
}

impl fmt::Display for KeysSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(one) => one.fmt(f),
            Self::Clients(paths) => {
                let paths: Vec<_> = paths
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect();
                write!(f, "key files {}", paths.join(", "))
            }
        }
    }
}

/// Why a pipe has no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A key cannot be read.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The folder cannot be read.
    #[error("cannot read key folder {}: {}", .folder.display(), os_error(.error))]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// There is a folder where one key is needed.
    #[error("{} is a folder: only spiped -d takes many keys, so name one key file", .0.display())]
    Many(PathBuf),
    /// There is a list where one key is needed.
    #[error("only a decrypting pipe takes an array of keys: name one key file, in a string")]
    Several,
    /// With those at this path there are more than 10,000.
    #[error("with {} there are more than {KEYS_MAX} keys", .0.display())]
    TooMany(PathBuf),
    /// A file's name is none for a client.
    #[error(
        "key file {0:?} is called after no client: up to the first dot its name has to be plain text"
    )]
    Name(PathBuf),
    /// It is a device, a pipe or a socket.
    #[error("key file {} is no regular file", .0.display())]
    Special(PathBuf),
    /// Anybody could connect as this client.
    #[error("key file {} is empty", .0.display())]
    Empty(PathBuf),
}

impl KeysSource {
    /// The files and folders that are read.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            Self::One(KeySource::Stdin) => &[],
            Self::One(KeySource::File(path)) => slice::from_ref(path),
            Self::Clients(paths) => paths,
        }
    }
}

impl Keys {
    /// Reads one key or, where `count` allows it, those of clients. Returns what is unwise about them too.
    ///
    /// # Errors
    ///
    /// A key cannot be read, is no file of a client's, or there are too many.
    pub fn read(
        source: &KeysSource,
        count: KeyCount,
    ) -> Result<(Self, Vec<KeyWarning>), KeysError> {
        match (source, count) {
            (KeysSource::Clients(_), KeyCount::One) => Err(KeysError::Several),
            (KeysSource::Clients(paths), KeyCount::Many) => read_clients(paths),
            (KeysSource::One(KeySource::File(path)), KeyCount::One) if path.is_dir() => {
                Err(KeysError::Many(path.clone()))
            }
            (KeysSource::One(KeySource::File(path)), KeyCount::Many) if path.is_dir() => {
                read_clients(slice::from_ref(path))
            }
            (KeysSource::One(one), _) => {
                let (secret, warnings) = keyfile::read(one)?;
                Ok((secret.into(), warnings))
            }
        }
    }

    /// Reads what is left of clients' keys, without a word about what is unwise: what is gone holds
    /// no key any more.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn read_left(source: &KeysSource) -> Result<Self, KeysError> {
        let is_left = |path: &&PathBuf| !matches!(path.try_exists(), Ok(false));
        let left: Vec<_> = source.paths().iter().filter(is_left).cloned().collect();
        Ok(read_clients(&left)?.0)
    }
}

/// Reads files, and all keys of folders, in the order of their names.
fn read_clients(paths: &[PathBuf]) -> Result<(Keys, Vec<KeyWarning>), KeysError> {
    let mut files = Vec::new();
    let mut warnings = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => warnings.extend(list(path, &mut files)?),
            false => files.push(path.clone()),
        }
        if files.len() > KEYS_MAX {
            return Err(KeysError::TooMany(path.clone()));
        }
    }
    let mut secrets = Vec::new();
    let mut entries: Vec<Arc<Entry>> = Vec::new();
    let mut about_files = Vec::new();
    for path in files {
        let client = client(&path).ok_or_else(|| KeysError::Name(path.clone()))?;
        let client = client.into();
        if let Some((secret, about_it)) = read_file(path)? {
            secrets.push(secret);
            entries.push(Entry::of(Some(client)));
            about_files.extend(about_it);
        }
    }
    if secrets.is_empty() {
        warnings.extend(paths.iter().cloned().map(KeyWarning::Nobody));
    }
    let more = about_files.len().saturating_sub(WARNINGS_MAX);
    about_files.truncate(WARNINGS_MAX);
    if more > 0 {
        about_files.push(KeyWarning::More(more));
    }
    about_files.append(&mut warnings);
    let ring = secrets.into_iter().collect();
    Ok((Keys { ring, entries }, about_files))
}

/// Adds the key files of a folder; what is unwise about the folder.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<Option<KeyWarning>, KeysError> {
    let failed = |error| KeysError::Folder {
        folder: folder.to_owned(),
        error,
    };
    let mode = fs::metadata(folder).map_err(failed)?.permissions().mode() & 0o7777;
    let mut names: Vec<OsString> = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if is_key(&name) {
            names.push(name);
        }
        if names.len() > KEYS_MAX {
            return Err(KeysError::TooMany(folder.to_owned()));
        }
    }
    names.sort();
    files.extend(names.into_iter().map(|name| folder.join(name)));
    let is_open = mode & 0o022 != 0;
    Ok(is_open.then(|| KeyWarning::Writable(folder.to_owned(), mode)))
}

/// Which keys of a folder are links, as far as it can be read; none of what is no folder.
pub(crate) fn links(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| is_key(&entry.file_name()))
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()))
        .take(KEYS_MAX)
        .map(|entry| entry.path())
        .collect()
}

/// Hidden files may be on their way to become keys.
fn is_key(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.ends_with(SUFFIX) && !name.starts_with(b".")
}

/// Whom a key file is called after: its name up to the first dot.
fn client(file: &Path) -> Option<&str> {
    let name = file.file_name()?.to_str()?;
    let client = name.split_once('.').map_or(name, |(client, _)| client);
    let is_plain = !client.is_empty() && !client.chars().any(char::is_control);
    is_plain.then_some(client)
}

/// Reads one key of a client; `None` for a folder in a folder.
fn read_file(path: PathBuf) -> Result<Option<(Secret, Vec<KeyWarning>)>, KeysError> {
    let source = KeySource::File(path.clone());
    let file = keyfile::open_at_once(&source)?;
    let Ok(kind) = file.metadata().map(|metadata| metadata.file_type()) else {
        return Err(KeysError::Special(path));
    };
    if kind.is_dir() {
        return Ok(None);
    }
    if !kind.is_file() {
        return Err(KeysError::Special(path));
    }
    let (secret, warnings) = keyfile::read_open(&source, file)?;
    let empty = |warning: &KeyWarning| matches!(warning, KeyWarning::Empty(_));
    match warnings.iter().any(empty) {
        true => Err(KeysError::Empty(path)),
        false => Ok(Some((secret, warnings))),
    }
}
