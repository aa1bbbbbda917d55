//! Keys of clients: files that are listed, and all those of folders.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::keyfile::{self, KeyFile, KeySource, KeyWarning};
use super::source::{KEYS_MAX, KeysError};
use super::{Entry, Keys, Origin, again};

/// So many warnings about the key files of clients are worth reading.
const WARNINGS_MAX: usize = 3;
/// What a key file in a folder ends in. Whatever ends otherwise is no key: it may be what an editor
/// or a package manager left, or a key that somebody took away by renaming it.
const SUFFIX: &[u8] = b".key";

/// Keys of clients as they are found, each by itself.
pub(super) struct ClientFiles {
    /// Files and folders that are to be read.
    paths: Vec<PathBuf>,
    /// In the order of the ring.
    keys: Vec<(PathBuf, Result<ClientKey, KeysError>)>,
    /// What is unwise about folders.
    warnings: Vec<KeyWarning>,
    /// Why not all files are known.
    unknown: Option<KeysError>,
}

struct ClientKey {
    client: Arc<str>,
    file: KeyFile,
}

impl ClientFiles {
    /// Reads files, and all keys of folders, in the order of their names. `before` is what they were
    /// when they were read last.
    pub(super) fn find(paths: &[PathBuf], before: Option<&Keys>) -> Self {
        let lengths: HashMap<_, _> = before.into_iter().flat_map(Keys::lengths).collect();
        let mut files = Vec::new();
        let mut found = Self {
            paths: paths.to_owned(),
            keys: Vec::new(),
            warnings: Vec::new(),
            unknown: None,
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
                    found.unknown.get_or_insert(error);
                }
            }
        }
        // More are not worth reading.
        files.truncate(KEYS_MAX);
        for path in files {
            let length = lengths.get(path.as_path()).copied();
            if let Some(key) = read_file(&path, length).transpose() {
                found.keys.push((path, key));
            }
        }
        found
    }

    /// All of them, or why they are not taken.
    pub(super) fn into_keys(self) -> Result<(Keys, Vec<KeyWarning>), KeysError> {
        if let Some(error) = self.unknown {
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
            warnings.extend(self.paths.into_iter().map(KeyWarning::Nobody));
        }
        let more = about_files.len().saturating_sub(WARNINGS_MAX);
        about_files.truncate(WARNINGS_MAX);
        if more > 0 {
            about_files.push(KeyWarning::More(more));
        }
        about_files.append(&mut warnings);
        let keys = Keys {
            ring: secrets.into_iter().collect(),
            entries,
            origins,
        };
        Ok((keys, about_files))
    }

    /// Which of the keys that there were before are gone: their file is not there any more, is not
    /// asked for any more, or holds another key. A file that cannot be read may still hold the same.
    pub(super) fn gone(&self, before: &Keys, volume: Volume) -> Vec<Arc<Entry>> {
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
                None if self.unknown.is_none() && !self.is_folder_gone(path) => true,
                Some(Err(_)) | None => is_gone(path, volume),
            }
        });
        gone.map(|((entry, _), _)| Arc::clone(entry)).collect()
    }

    /// Whether a key was in a folder that is asked for and is none now.
    fn is_folder_gone(&self, key: &Path) -> bool {
        let folder = key.parent();
        let mut paths = self.paths.iter();
        paths.any(|path| folder == Some(path) && !path.is_dir())
    }
}

/// What it means that a folder of keys is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volume {
    /// It may be on its way back: its keys are still good.
    Returns,
    /// No pipe asks for it any more: its keys are gone with it.
    Removed,
}

/// Whether a file is not where it was.
pub(super) fn is_gone(file: &Path, volume: Volume) -> bool {
    let absent = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
    let has_folder = || file.parent().is_some_and(Path::is_dir);
    fs::symlink_metadata(file).is_err_and(absent) && (volume == Volume::Removed || has_folder())
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

/// Reads one key of a client, which had so many bytes before; `None` for a folder in a folder.
fn read_file(path: &Path, before: Option<u64>) -> Result<Option<ClientKey>, KeysError> {
    let client = client(path).ok_or_else(|| KeysError::Name(path.to_owned()))?;
    let source = KeySource::File(path.to_owned());
    let file = keyfile::open_at_once(&source)?;
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
        again::refuse_cut(&source, file.length, before)?;
    }
    let client = client.into();
    Ok(Some(ClientKey { client, file }))
}
