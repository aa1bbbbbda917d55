//! The part of a pipe that outlasts a change of its configuration, as its connections do.

use std::sync::Arc;

use crate::pipe::admission::{Admission, Limits};
use crate::pipe::stats::PipeStats;

/// The state of the pipe of one name, from its first connection to its last. It stays when the pipe's
/// configuration changes.
#[derive(Debug)]
pub struct PipeState {
    /// The limits on connections.
    pub admission: Admission,
    /// The connections that are open, and the sums over the others.
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
