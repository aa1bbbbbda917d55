//! The changes of a reload, for its log line.

use std::fmt;

/// The pipes that a reload has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Pipes that run now.
    pub pipes: usize,
    /// Pipes whose name is new.
    pub added: usize,
    /// Pipes whose configuration, keys or socket are not the same as before.
    pub changed: usize,
    /// Pipes that do not run any more.
    pub removed: usize,
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pipes,
            added,
            changed,
            removed,
        } = self;
        let noun = if *pipes == 1 { "pipe" } else { "pipes" };
        write!(
            f,
            "{pipes} {noun}: {added} added, {changed} changed, {removed} removed"
        )
    }
}
