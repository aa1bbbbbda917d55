//! Making a new key file (`spiped keygen`).

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::os::os_error::os_error;
use crate::os::std_streams;

/// The length of a new key in bytes.
const KEY_LEN: usize = 32;

/// The reason why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum KeygenError {
    /// There is a file of that name, which may be a key in use.
    #[error("{} exists already, and a key is never overwritten", .0.display())]
    Exists(PathBuf),
    /// The system refuses to create or write the file.
    #[error("cannot write key file {}: {}", .path.display(), os_error(.error))]
    Write {
        /// The key file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// Standard output is a terminal, which would show the key.
    #[error(
        "standard output is a terminal; lead it to where the key is to be: spiped keygen - > FILE"
    )]
    Terminal,
    /// Standard output cannot be written: its reader has gone, or its disk is full.
    #[error("cannot write the key to standard output: {}", os_error(.0))]
    Stdout(io::Error),
    /// The system gives no random numbers.
    #[error("no random numbers from the system: {0}")]
    Random(getrandom::Error),
}

/// Makes a key file of 32 random bytes with mode 0600, and syncs it to the disk. `-` stands for standard
/// output.
///
/// # Errors
///
/// The path exists, be it a folder or a link; or the file cannot be written, and is removed again; or
/// standard output is a terminal, or cannot be written.
pub fn generate(path: &Path) -> Result<(), KeygenError> {
    let to_stdout = path == Path::new("-");
    if to_stdout && io::stdout().is_terminal() {
        return Err(KeygenError::Terminal);
    }
    let mut key = Zeroizing::new([0; KEY_LEN]);
    getrandom::fill(&mut key[..]).map_err(KeygenError::Random)?;
    if to_stdout {
        // io::stdout has a buffer, which would keep the key.
        return std_streams::stdout()
            .and_then(|mut stdout| stdout.write_all(&key[..]))
            .map_err(KeygenError::Stdout);
    }
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => KeygenError::Exists(path.to_owned()),
        _ => KeygenError::Write {
            path: path.to_owned(),
            error,
        },
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    let stored = file.write_all(&key[..]).and_then(|()| file.sync_all());
    stored.map_err(|error| {
        // A key that is cut off must not be used. If it cannot be removed either, the first error is told.
        let _ = fs::remove_file(path);
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use tempfile::TempDir;

    use super::*;
    use crate::keys::keyfile::{self, KeySource};

    #[test]
    fn a_generated_key_is_private_random_and_free_of_warnings() {
        let dir = TempDir::new().unwrap();
        let paths = [dir.path().join("a"), dir.path().join("b")];
        for path in &paths {
            generate(path).unwrap();
            assert_eq!(
                fs::metadata(path).unwrap().permissions().mode() & 0o7777,
                0o600
            );
            assert_eq!(fs::read(path).unwrap().len(), 32);
            let (_, warnings) = keyfile::read(&KeySource::File(path.clone())).unwrap();
            assert_eq!(warnings, []);
        }
        assert_ne!(fs::read(&paths[0]).unwrap(), fs::read(&paths[1]).unwrap());
    }

    #[test]
    fn nothing_that_exists_is_overwritten() {
        let dir = TempDir::new().unwrap();
        let precious = dir.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        let link = dir.path().join("link");
        symlink(&precious, &link).unwrap();
        let dangling = dir.path().join("dangling");
        symlink(dir.path().join("absent"), &dangling).unwrap();
        for path in [&precious, &link, &dangling, &dir.path().to_owned()] {
            let error = generate(path).unwrap_err();
            assert!(matches!(error, KeygenError::Exists(_)), "{error}");
        }
        assert_eq!(fs::read_to_string(precious).unwrap(), "precious");
        assert!(!dir.path().join("absent").exists());
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named_with_the_reason() {
        let error = generate(Path::new("/nonexistent/key")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot write key file /nonexistent/key: no such file or directory"
        );
    }
}
