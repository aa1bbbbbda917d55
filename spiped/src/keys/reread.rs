//! A key that is read a second time. What is found may be no key: a pipe has been emptied by the first
//! time, and a file may be on its way to be written.

use std::fs;
use std::path::Path;

use super::Keys;
use super::keyfile::{self, KeyFileError, KeySource, KeyWarning};
use super::source::EarlierKeys;

/// So many bytes, as `spiped keygen` makes, are a whole key whatever there was before.
const WHOLE: u64 = 32;

/// Reads the one key of a pipe again.
pub(super) fn read_one(
    source: &KeySource,
    earlier: EarlierKeys<'_>,
    is_abandoned: &dyn Fn() -> bool,
) -> Result<(Keys, Vec<KeyWarning>), KeyFileError> {
    let same = earlier.same_source.filter(|keys| !keys.has_clients());
    let is_file = match source {
        KeySource::Stdin => false,
        // What is no file is not even opened: whoever waits to write would be let go.
        KeySource::File(path) => is_file(path),
    };
    if let (Some(same), false) = (same, is_file) {
        let kept = same.clone();
        // A pipe may have gone by now, as one of a shell does.
        return match kept.is_from_file() {
            false => Ok((kept, Vec::new())),
            true => Err(refusal(source)),
        };
    }
    let file = keyfile::open_at_once(source)?;
    let key = keyfile::read_open(source, file, is_abandoned)?;
    if key.length == 0 && !key.is_regular {
        return Err(KeyFileError::Emptied(source.clone()));
    }
    if let Some(same) = same {
        refuse_cut(source, key.length, same.length())?;
    }
    if earlier.same_pipe.is_some_and(|keys| keys.length() > 0) && key.length == 0 {
        return Err(KeyFileError::Emptied(source.clone()));
    }
    Ok(Keys::of_one(key))
}

/// Refuses what looks like a part of a key that had `before` bytes.
pub(super) fn refuse_cut(source: &KeySource, length: u64, before: u64) -> Result<(), KeyFileError> {
    let key = source.clone();
    match length {
        0 if before > 0 => Err(KeyFileError::Emptied(key)),
        _ if length < before && length < WHOLE => Err(KeyFileError::Cut {
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

/// Why there is no file where there was one.
fn refusal(source: &KeySource) -> KeyFileError {
    let KeySource::File(path) = source else {
        return KeyFileError::Special(source.clone());
    };
    match fs::metadata(path) {
        Err(error) => KeyFileError::failed(source, error),
        Ok(_) => KeyFileError::Special(source.clone()),
    }
}
