//! A private directory that goes away with its owner.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A new directory under the system's temporary one, mode 0700, removed with all it holds on drop.
#[derive(Debug)]
pub(crate) struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Makes a directory called `spiped-PURPOSE.` and a random suffix.
    pub(crate) fn new(purpose: &str) -> io::Result<Self> {
        let suffix = getrandom::u64().map_err(io::Error::other)?;
        let path = std::env::temp_dir().join(format!("spiped-{purpose}.{suffix:016x}"));
        // Fails for a path that exists, so that nobody can put one there beforehand.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // Nothing is left to do about a directory that cannot be removed.
        let _ = fs::remove_dir_all(&self.path);
    }
}
