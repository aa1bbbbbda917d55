//! Where the keys of a pipe are, and how they are read.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::slice;
use std::sync::Arc;

use super::again;
use super::folder::{ClientFiles, Volume};
use super::{Entry, Keys};
use crate::keys::keyfile::{self, KeyFileError, KeySource, KeyWarning};
use crate::os::sandbox::file_error;

/// More keys are taken for a mistake: each hello of a stranger is tried with each of them.
pub(super) const KEYS_MAX: usize = 10_000;

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
    #[error("cannot read key folder {}: {}", .folder.display(), file_error(.folder, .error))]
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
        match source.found(count)? {
            Found::One(one) => {
                let key = keyfile::read_at_start(one)?;
                Ok(Self::of_one(key))
            }
            Found::Clients(paths) => ClientFiles::find(paths, None).into_keys(),
        }
    }

    /// Reads keys a second time, knowing what was found the first time.
    ///
    /// What can be read once only is kept. What was a key and is empty, cut off, or no file any more is
    /// an error. Reading that has to wait ends when it `is_abandoned`.
    pub fn read_again(
        source: &KeysSource,
        count: KeyCount,
        earlier: EarlierKeys<'_>,
        is_abandoned: &dyn Fn() -> bool,
    ) -> FoundAgain {
        let (keys, gone) = match source.found(count) {
            Err(error) => (Err(error), Vec::new()),
            Ok(Found::One(one)) => {
                let read = again::read_one(one, earlier, is_abandoned);
                (read.map_err(KeysError::from), Vec::new())
            }
            Ok(Found::Clients(paths)) => {
                let before = earlier.same_source.or(earlier.same_pipe);
                let files = ClientFiles::find(paths, before);
                let gone = earlier
                    .same_pipe
                    .map(|before| files.gone(before, Volume::Returns));
                (files.into_keys(), gone.unwrap_or_default())
            }
        };
        FoundAgain { keys, gone }
    }

    /// Why keys at a source cannot be read a second time, by this process as it is now; nothing if they
    /// can, or need not be.
    #[must_use]
    pub fn unreadable(&self, source: &KeysSource) -> Option<KeysError> {
        let folders = source.paths().iter().filter(|path| path.is_dir());
        for folder in folders {
            if let Err(error) = fs::read_dir(folder) {
                let folder = folder.clone();
                return Some(KeysError::Folder { folder, error });
            }
        }
        let files = self
            .origins
            .iter()
            .filter_map(|origin| origin.file.as_deref());
        let one = match source {
            KeysSource::One(KeySource::File(path))
                if !self.has_clients() && self.is_from_file() =>
            {
                Some(path.as_path())
            }
            _ => None,
        };
        files.chain(one).find_map(|file| {
            let source = KeySource::File(file.to_owned());
            keyfile::open_at_once(&source).err().map(KeysError::from)
        })
    }

    /// Which of these keys of clients are not at a source any more. One that cannot be read may be.
    #[must_use]
    pub fn gone_from(&self, source: &KeysSource, volume: Volume) -> Vec<Arc<Entry>> {
        match source.found(KeyCount::Many) {
            Ok(Found::Clients(paths)) if self.has_clients() => {
                ClientFiles::find(paths, Some(self)).gone(self, volume)
            }
            _ => self.without_file(volume),
        }
    }
}

/// What came of reading keys a second time.
#[derive(Debug)]
pub struct FoundAgain {
    /// The keys and what is unwise about them; or why they cannot be taken.
    pub keys: Result<(Keys, Vec<KeyWarning>), KeysError>,
    /// Keys of clients that the pipe had and that are gone, whatever came of the others.
    pub gone: Vec<Arc<Entry>>,
}

/// Keys as they were when they were read last.
#[derive(Clone, Copy, Debug, Default)]
pub struct EarlierKeys<'a> {
    /// From the same source.
    pub same_source: Option<&'a Keys>,
    /// Of the same pipe.
    pub same_pipe: Option<&'a Keys>,
}

/// What is where the keys of a pipe are.
pub(super) enum Found<'a> {
    One(&'a KeySource),
    /// Files and folders.
    Clients(&'a [PathBuf]),
}

impl KeysSource {
    fn found(&self, count: KeyCount) -> Result<Found<'_>, KeysError> {
        match (self, count) {
            (Self::Clients(_), KeyCount::One) => Err(KeysError::Several),
            (Self::Clients(paths), KeyCount::Many) => Ok(Found::Clients(paths)),
            (Self::One(KeySource::File(path)), KeyCount::One) if path.is_dir() => {
                Err(KeysError::Many(path.clone()))
            }
            (Self::One(KeySource::File(path)), KeyCount::Many) if path.is_dir() => {
                Ok(Found::Clients(slice::from_ref(path)))
            }
            (Self::One(one), _) => Ok(Found::One(one)),
        }
    }
}
