//! The source of the keys of a pipe, and how the keys are read from it.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::slice;
use std::sync::Arc;

use super::error::{KeysError, joined};
use super::folder::{ClientFiles, MissingFolder};
use super::reread::{self, EarlierKeys};
use super::{Entry, Keys};
use crate::keys::keyfile::{self, KeySource, KeyWarning};

/// The number of keys that an end of a pipe takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyCount {
    /// One key: an encrypting end has to know the key to connect with.
    One,
    /// One key, or one for each client: a decrypting end tries all its keys.
    Many,
}

/// The source of the keys of a pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysSource {
    /// One key, or a folder of clients' keys.
    One(KeySource),
    /// Key files of clients, and folders of such files. Each file has the name of its client.
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
            Self::Clients(paths) => write!(f, "key files {}", joined(paths)),
        }
    }
}

impl KeysSource {
    /// Returns the files and folders that are read.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            Self::One(KeySource::Stdin) => &[],
            Self::One(KeySource::File(path)) => slice::from_ref(path),
            Self::Clients(paths) => paths,
        }
    }

    /// Whether the keys are those of clients, by what is there now.
    #[must_use]
    pub fn is_of_clients(&self, count: KeyCount) -> bool {
        matches!(self.found(count), Ok(Found::Clients(_)))
    }
}

impl Keys {
    /// Reads one key or, if `count` allows it, the keys of clients, as a program does when it starts. Returns
    /// warnings too.
    ///
    /// # Errors
    ///
    /// A key cannot be read, a client's key file is not usable, or there are no keys or too many.
    pub fn read(
        source: &KeysSource,
        count: KeyCount,
    ) -> Result<(Self, Vec<KeyWarning>), KeysError> {
        match source.found(count)? {
            Found::One(one) => {
                let key = keyfile::read_at_start(one)?;
                Ok(Self::of_one(key))
            }
            Found::Clients(paths) => {
                let read = ClientFiles::find(paths, None).into_keys()?;
                check_any(&read.0, paths)?;
                Ok(read)
            }
        }
    }

    /// Reads keys again, for a reload. `earlier` are the keys that were read before.
    ///
    /// Folders without a key let nobody in, with a warning: all clients may have been shut out. They are an
    /// error where the pipe had one key for all. A key from a source that can be read once only is kept. A key that is now empty, cut short, or no
    /// regular file is an error. Reading that has to wait ends when it `is_abandoned`.
    pub fn read_again(
        source: &KeysSource,
        count: KeyCount,
        earlier: EarlierKeys<'_>,
        is_abandoned: &dyn Fn() -> bool,
    ) -> RereadKeys {
        let (keys, gone) = match source.found(count) {
            Err(error) => (Err(error), Vec::new()),
            Ok(Found::One(one)) => {
                let read = reread::read_one(one, earlier, is_abandoned);
                (read.map_err(KeysError::from), Vec::new())
            }
            Ok(Found::Clients(paths)) => {
                let before = earlier.same_source.or(earlier.same_pipe);
                let files = ClientFiles::find(paths, before);
                let gone = earlier
                    .same_pipe
                    .map(|before| files.gone(before, MissingFolder::KeepsKeys));
                let mut read = files.into_keys();
                // The folder may have taken the place of the one key of the pipe, which no reload turns off.
                if earlier.same_pipe.is_some_and(Keys::is_one)
                    && let Ok((keys, _)) = &read
                    && let Err(error) = check_any(keys, paths)
                {
                    read = Err(error);
                }
                (read, gone.unwrap_or_default())
            }
        };
        RereadKeys { keys, gone }
    }

    /// Returns the error that this process would meet if it read the keys again at `source`; `None` if it
    /// could, or would not need to.
    #[must_use]
    pub fn reread_error(&self, source: &KeysSource) -> Option<KeysError> {
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
            keyfile::open_nonblocking(&source)
                .err()
                .map(KeysError::from)
        })
    }

    /// Returns the clients' keys that are gone from `source`. A key that cannot be read counts as there.
    #[must_use]
    pub fn gone_from(&self, source: &KeysSource, missing_folder: MissingFolder) -> Vec<Arc<Entry>> {
        match source.found(KeyCount::Many) {
            Ok(Found::Clients(paths)) if self.has_clients() => {
                ClientFiles::find(paths, Some(self)).gone(self, missing_folder)
            }
            _ => self.without_file(missing_folder),
        }
    }
}

/// Checks that there is any key in folders.
fn check_any(keys: &Keys, paths: &[PathBuf]) -> Result<(), KeysError> {
    match keys.ring.is_empty() {
        true => Err(KeysError::EmptyFolders(paths.to_owned())),
        false => Ok(()),
    }
}

/// The result of reading keys again.
#[derive(Debug)]
pub struct RereadKeys {
    /// The keys and their warnings, or the reason why they cannot be used.
    pub keys: Result<(Keys, Vec<KeyWarning>), KeysError>,
    /// The clients' keys of the pipe that are gone, even if reading the others failed.
    pub gone: Vec<Arc<Entry>>,
}

/// The kind of source that the path of the keys has turned out to be.
pub(super) enum Found<'a> {
    /// One key.
    One(&'a KeySource),
    /// Files and folders of clients' keys.
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
