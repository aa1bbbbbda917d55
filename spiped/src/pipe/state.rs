//! The part of a pipe that outlasts a change of its configuration, as its connections do.

use std::sync::Arc;

use crate::pipe::admission::{Admission, Limits};
use crate::pipe::stats::PipeStats;

/// The state that all forms of a pipe share: those of one name, from its first connection to its last.
#[derive(Debug)]
pub struct PipeState {
    /// Which connections may go on.
    pub admission: Admission,
    /// The connections that are open, and what became of the others.
    pub stats: Arc<PipeStats>,
}

impl PipeState {
    /// The state of a pipe called `name` that has had no connection yet.
    #[must_use]
    pub fn new(name: Arc<str>, limits: Limits) -> Self {
        Self {
            admission: Admission::new(name, limits),
            stats: Arc::default(),
        }
    }
}
