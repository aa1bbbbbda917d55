//! Reads the keys of clients from the files and folders that the configuration names.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{KEYS_MAX, KeysError};
use super::keyfile::{self, KeyFile, KeySource, KeyWarning};
use super::{Entry, Keys, Origin, reread};

/// The most warnings about clients' key files that are shown; the others are counted.
const WARNINGS_MAX: usize = 3;
/// The end of the name of a key file in a folder. Other files are no keys: an editor or a package manager may
/// have left them, or somebody renamed a key to take it away.
const SUFFIX: &[u8] = b".key";

/// The result of reading the keys of clients: each key, or its error.
pub(super) struct ClientFiles {
    /// The files and folders that were to be read.
    paths: Vec<PathBuf>,
    /// The files that were found, in the order of the keys in the ring.
    keys: Vec<(PathBuf, Result<ClientKey, KeysError>)>,
    /// The warnings about folders.
    warnings: Vec<KeyWarning>,
    /// The first error because of which some files may not have been found.
    incomplete: Option<KeysError>,
}

struct ClientKey {
    client: Arc<str>,
    file: KeyFile,
}

impl ClientFiles {
    /// Reads the files at `paths`, and all keys of the folders there, in the order of their names. `before`
    /// are the keys that were read there last.
    pub(super) fn find(paths: &[PathBuf], before: Option<&Keys>) -> Self {
        let lengths: HashMap<_, _> = before.into_iter().flat_map(Keys::lengths).collect();
        let mut files = Vec::new();
        let mut found = Self {
            paths: paths.to_owned(),
            keys: Vec::new(),
            warnings: Vec::new(),
            incomplete: None,
        };
        for path in paths {
            let listed = match path.is_dir() {
                true => list(path, &mut files),
                false => {
                    files.push(path.clone());
                    Ok(None)
                }
            };
            let listed = listed.and_then(|warning| match files.len() > KEYS_MAX {
                true => Err(KeysError::TooMany(path.clone())),
                false => Ok(warning),
            });
            match listed {
                Ok(warning) => found.warnings.extend(warning),
                Err(error) => {
                    found.incomplete.get_or_insert(error);
                }
            }
        }
        // More are an error already, so no more are read.
        files.truncate(KEYS_MAX);
        for path in files {
            let length = lengths.get(path.as_path()).copied();
            if let Some(key) = read_file(&path, length).transpose() {
                found.keys.push((path, key));
            }
        }
        found
    }

    /// Returns all keys with their warnings.
    ///
    /// # Errors
    ///
    /// The first error, if a file or a folder could not be read.
    pub(super) fn into_keys(self) -> Result<(Keys, Vec<KeyWarning>), KeysError> {
        if let Some(error) = self.incomplete {
            return Err(error);
        }
        let mut secrets = Vec::new();
        let mut entries = Vec::new();
        let mut origins = Vec::new();
        let mut about_files = Vec::new();
        for (path, key) in self.keys {
            let ClientKey { client, file } = key?;
            secrets.push(file.secret);
            entries.push(Entry::of(Some(client)));
            origins.push(Origin {
                file: Some(path),
                length: file.length,
                is_regular: true,
            });
            about_files.extend(file.warnings);
        }
        let mut warnings = self.warnings;
        if secrets.is_empty() {
            warnings.extend(self.paths.into_iter().map(KeyWarning::EmptyFolder));
        }
        let more = about_files.len().saturating_sub(WARNINGS_MAX);
        about_files.truncate(WARNINGS_MAX);
        if more > 0 {
            about_files.push(KeyWarning::Omitted(more));
        }
        about_files.append(&mut warnings);
        let keys = Keys {
            ring: secrets.into_iter().collect(),
            entries,
            origins,
        };
        Ok((keys, about_files))
    }

    /// Returns the entries of keys in `before` that are gone: their file is gone, is not named in the
    /// configuration any more, or holds another key. A file that cannot be read counts as unchanged.
    pub(super) fn gone(&self, before: &Keys, missing_folder: MissingFolder) -> Vec<Arc<Entry>> {
        let by_path: HashMap<_, _> = self.keys.iter().map(|(path, key)| (&**path, key)).collect();
        let mut of_client: HashMap<_, Vec<_>> = HashMap::new();
        for key in self.keys.iter().filter_map(|(_, key)| key.as_ref().ok()) {
            let of_client = of_client.entry(&key.client).or_default();
            of_client.push(&key.file.secret);
        }
        let keys = before.entries.iter().zip(before.ring.iter());
        let keys = keys.zip(&before.origins);
        let gone = keys.filter(|((entry, secret), origin)| {
            let (Some(client), Some(path)) = (&entry.client, &origin.file) else {
                return false;
            };
            let mut same = of_client.get(client).into_iter().flatten();
            if same.any(|now| now.is_same(secret)) {
                return false;
            }
            match by_path.get(&**path) {
                Some(Ok(_)) => true,
                None if self.incomplete.is_none() && !self.is_folder_gone(path) => true,
                Some(Err(_)) | None => is_gone(path, missing_folder),
            }
        });
        gone.map(|((entry, _), _)| Arc::clone(entry)).collect()
    }

    /// Whether the folder of a key is among the paths, and is no folder any more.
    fn is_folder_gone(&self, key: &Path) -> bool {
        let folder = key.parent();
        let mut paths = self.paths.iter();
        paths.any(|path| folder == Some(path) && !path.is_dir())
    }
}

/// The meaning of a folder of keys that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingFolder {
    /// The folder may come back, as a volume that is mounted again. Its keys are kept.
    KeepsKeys,
    /// No pipe uses the folder any more. Its keys are gone.
    LosesKeys,
}

/// Whether the key file at a path is gone.
pub(super) fn is_gone(file: &Path, missing_folder: MissingFolder) -> bool {
    let absent = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
    let has_folder = || folder_of(file).is_dir();
    fs::symlink_metadata(file).is_err_and(absent)
        && (missing_folder == MissingFolder::LosesKeys || has_folder())
}

/// Returns the folder of a file.
fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(none) if none == Path::new("") => Path::new("."),
        folder => folder.unwrap_or(file),
    }
}

/// The clients that key files are called after, for each folder that was asked for. A folder is listed once.
#[derive(Default)]
pub(super) struct NamedClients(HashMap<PathBuf, HashSet<String>>);

impl NamedClients {
    /// Whether a key file beside `file` is called after this client. None is in a folder that cannot be read.
    pub(super) fn has(&mut self, file: &Path, name: &str) -> bool {
        let folder = folder_of(file);
        let named = self.0.entry(folder.to_owned()).or_insert_with(|| {
            let names = key_files(folder).map(|entry| entry.file_name());
            let named = names.filter_map(|name| Some(client(Path::new(&name))?.to_owned()));
            named.take(KEYS_MAX).collect()
        });
        named.contains(name)
    }
}

/// Adds the key files in `folder` to `files`. Returns a warning if other users may change the folder.
///
/// # Errors
///
/// The folder cannot be read, or has more than 10,000 keys.
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

/// Returns the key files of a folder that are links; none if the path is no folder that can be read.
pub(crate) fn links(folder: &Path) -> Vec<PathBuf> {
    key_files(folder)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()))
        .take(KEYS_MAX)
        .map(|entry| entry.path())
        .collect()
}

/// Returns the key files of a folder; none if the path is no folder that can be read.
fn key_files(folder: &Path) -> impl Iterator<Item = DirEntry> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| is_key(&entry.file_name()))
}

/// Whether a name is that of a key file. A hidden file is none, as it may be a key that is being written.
fn is_key(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.ends_with(SUFFIX) && !name.starts_with(b".")
}

/// Returns the client of a key file: its name up to the first dot; `None` if that is empty or no plain text.
fn client(file: &Path) -> Option<&str> {
    let name = file.file_name()?.to_str()?;
    let client = name.split_once('.').map_or(name, |(client, _)| client);
    let is_plain = !client.is_empty() && !client.chars().any(char::is_control);
    is_plain.then_some(client)
}

/// Reads the key file of a client. `before` is the length in bytes that it had when it was read last. Returns
/// `None` if the path is a folder.
///
/// # Errors
///
/// The file has no name for a client, cannot be read, is no regular file, or is empty or cut short.
fn read_file(path: &Path, before: Option<u64>) -> Result<Option<ClientKey>, KeysError> {
    let client = client(path).ok_or_else(|| KeysError::Name(path.to_owned()))?;
    let source = KeySource::File(path.to_owned());
    let file = keyfile::open_nonblocking(&source)?;
    let Ok(kind) = file.metadata().map(|metadata| metadata.file_type()) else {
        return Err(KeysError::Special(path.to_owned()));
    };
    if kind.is_dir() {
        return Ok(None);
    }
    if !kind.is_file() {
        return Err(KeysError::Special(path.to_owned()));
    }
    let file = keyfile::read_open(&source, file, &|| true)?;
    if file.length == 0 {
        return Err(KeysError::Empty(path.to_owned()));
    }
    if let Some(before) = before {
        reread::check_length(&source, file.length, before)?;
    }
    let client = client.into();
    Ok(Some(ClientKey { client, file }))
}
