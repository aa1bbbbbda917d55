//! Reads the one key of a pipe again, for a reload. A pipe (fifo) or standard input gives no key a second
//! time, and a file may be only partly written.

use std::fs;
use std::path::Path;

use super::Keys;
use super::keyfile::{self, KeyFileError, KeySource, KeyWarning};

/// The length in bytes of a key that `spiped keygen` makes. A key of this length is taken as whole, even if
/// the earlier one was longer.
const FULL_LENGTH: u64 = 32;

/// The keys that were read before a reload.
#[derive(Clone, Copy, Debug, Default)]
pub struct EarlierKeys<'a> {
    /// The keys that were read from the same source.
    pub same_source: Option<&'a Keys>,
    /// The keys of the same pipe, perhaps from another source.
    pub same_pipe: Option<&'a Keys>,
}

/// Reads a key again, or keeps the earlier one where it can be read once only. Reading that has to wait ends
/// when it `is_abandoned`.
///
/// # Errors
///
/// The key cannot be read, or is empty, cut short or no regular file any more.
pub(super) fn read_one(
    source: &KeySource,
    earlier: EarlierKeys<'_>,
    is_abandoned: &dyn Fn() -> bool,
) -> Result<(Keys, Vec<KeyWarning>), KeyFileError> {
    let same = earlier.same_source.filter(|keys| !keys.has_clients());
    let is_file = match source {
        KeySource::Stdin => false,
        // A fifo is not even opened, as that would wake a writer that waits for a reader.
        KeySource::File(path) => is_file(path),
    };
    if let (Some(same), false) = (same, is_file) {
        let kept = same.clone();
        // A fifo or a pipe of a shell may be gone by now; its key is kept.
        return match kept.is_from_file() {
            false => Ok((kept, Vec::new())),
            true => Err(no_file_error(source)),
        };
    }
    let file = keyfile::open_nonblocking(source)?;
    let key = keyfile::read_open(source, file, is_abandoned)?;
    if key.length == 0 && !key.is_regular {
        return Err(KeyFileError::Emptied(source.clone()));
    }
    if let Some(same) = same {
        check_length(source, key.length, same.max_length())?;
    }
    if earlier.same_pipe.is_some_and(|keys| keys.max_length() > 0) && key.length == 0 {
        return Err(KeyFileError::Emptied(source.clone()));
    }
    Ok(Keys::of_one(key))
}

/// Checks the length of a key that had `before` bytes when it was read last.
///
/// # Errors
///
/// The key is empty, or shorter than before and than a key of `spiped keygen`.
pub(super) fn check_length(
    source: &KeySource,
    length: u64,
    before: u64,
) -> Result<(), KeyFileError> {
    let key = source.clone();
    match length {
        0 if before > 0 => Err(KeyFileError::Emptied(key)),
        _ if length < before && length < FULL_LENGTH => Err(KeyFileError::Cut {
            key,
            length,
            before,
        }),
        _ => Ok(()),
    }
}

fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// Returns the error of a key that was a regular file and is none any more.
fn no_file_error(source: &KeySource) -> KeyFileError {
    let KeySource::File(path) = source else {
        return KeyFileError::Special(source.clone());
    };
    match fs::metadata(path) {
        Err(error) => KeyFileError::failed(source, error),
        Ok(_) => KeyFileError::Special(source.clone()),
    }
}
