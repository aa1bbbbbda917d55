//! The file of `--config`.

use std::collections::HashSet;

use spiped::config::file::{KeyFiles, read};
use testbed::TempDir;

/// A file of any bytes: pipes that each have a name and a place of their own, or a line for each
/// mistake, none of them said twice.
pub fn configuration(data: &[u8]) {
    let dir = TempDir::new();
    let file = dir.write("pipes.toml", data);
    match read(&file, KeyFiles::Leave) {
        Ok(pipes) => {
            assert!(!pipes.is_empty());
            let names: HashSet<_> = pipes.iter().map(|pipe| &pipe.name).collect();
            let sources: HashSet<_> = pipes.iter().map(|pipe| &pipe.source).collect();
            assert_eq!((names.len(), sources.len()), (pipes.len(), pipes.len()));
            assert!(pipes.iter().all(|pipe| !pipe.targets.is_empty()));
        }
        Err(error) => {
            let lines = error.lines();
            assert!(!lines.is_empty());
            let different: HashSet<_> = lines.iter().collect();
            assert_eq!(different.len(), lines.len(), "{lines:?}");
        }
    }
}
