//! Reads a key file, and leaves no copy of it in memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use spiped_proto::{Secret, SecretHasher};
use zeroize::Zeroizing;

/// Bytes that are read at once.
const CHUNK: usize = 4096;
/// The most bytes of a key file, 1 MiB: a device that gives bytes for ever is none.
const LENGTH_MAX: usize = 1 << 20;

/// Reads the secret from a key file, as `spiped keygen` makes one: any bytes, of which at least 128 bits
/// should be random. They are wiped from memory once they are hashed.
///
/// This blocks for as long as the file does: call it before the runtime starts, or in
/// `spawn_blocking`.
///
/// # Errors
///
/// The file cannot be read; it is empty, or longer than 1 MiB ([`io::ErrorKind::InvalidData`]).
pub fn read_key_file(path: impl AsRef<Path>) -> io::Result<Secret> {
    read(File::open(path)?)
}

fn read(mut file: impl Read) -> io::Result<Secret> {
    let refused = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    let mut hasher = SecretHasher::new();
    let mut chunk = Zeroizing::new([0; CHUNK]);
    let mut length = 0;
    loop {
        match file.read(&mut *chunk) {
            Ok(0) if length == 0 => return refused("the key file is empty"),
            Ok(0) => return Ok(hasher.finish()),
            Ok(count) => {
                hasher.update(chunk.split_at(count).0);
                length += count;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if length > LENGTH_MAX {
            return refused("the key file is longer than 1 MiB");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a byte at a time, each after an interruption.
    struct Slow<'a> {
        left: &'a [u8],
        is_interrupted: bool,
    }

    impl Read for Slow<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            self.is_interrupted = !self.is_interrupted;
            match self.is_interrupted {
                true => Err(io::ErrorKind::Interrupted.into()),
                false => self.left.read(&mut to[..1]),
            }
        }
    }

    #[test]
    fn the_secret_is_that_of_all_bytes_however_they_come() {
        for length in [1, 32, CHUNK, CHUNK + 1, LENGTH_MAX] {
            let contents = vec![7; length];
            let secret = Secret::from_key_file(&contents);
            assert!(read(&contents[..]).unwrap().is_same(&secret));
        }
        let slow = Slow {
            left: b"three",
            is_interrupted: false,
        };
        assert!(
            read(slow)
                .unwrap()
                .is_same(&Secret::from_key_file(b"three"))
        );
    }

    #[test]
    fn what_is_no_key_file_is_refused() {
        for contents in [&b""[..], &vec![0; LENGTH_MAX + 1]] {
            let error = read(contents).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        assert_eq!(
            read(io::repeat(0)).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        let folder = tempfile::tempdir().unwrap();
        let missing = read_key_file(folder.path().join("missing")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let key = folder.path().join("key");
        std::fs::write(&key, b"key").unwrap();
        assert!(
            read_key_file(key)
                .unwrap()
                .is_same(&Secret::from_key_file(b"key"))
        );
    }
}
