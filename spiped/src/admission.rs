//! How many connections a pipe may have, by what they have come to.

use std::num::{NonZeroU64, NonZeroUsize};

use crate::cli::{PerSource, SpipedOptions};
use crate::descriptors::DescriptorLimit;
use crate::strangers::Bounds;

/// No more than these wait for a slot of `-n`; further ones wait in the system's queue.
const WAITING_MAX: usize = 4096;

/// The bounds of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Served at a time; `None` for no limit.
    pub served: Option<NonZeroU64>,
    /// Those that have not proved the key.
    pub unproved: Bounds,
    /// Those that have, and wait until they are served.
    pub waiting: NonZeroUsize,
}

impl Limits {
    /// What the options ask for, as far as there are descriptors for it: those who are not served
    /// share, half and half, what those who are leave over.
    #[must_use]
    pub fn new(options: &SpipedOptions, descriptors: DescriptorLimit) -> Self {
        let spare = descriptors.beside(options.max_connections.map(NonZeroU64::get));
        let half = usize::try_from(spare / 2).unwrap_or(usize::MAX);
        let all = size(options.max_unproved).min(at_least_one(half));
        let per_source = match options.max_unproved_per_source {
            PerSource::Half => Some(at_least_one(all.get() / 2)),
            PerSource::Max(max) => Some(size(Some(max))),
            PerSource::NoLimit => None,
        };
        Self {
            served: options.max_connections,
            unproved: Bounds { all, per_source },
            waiting: at_least_one(half.min(WAITING_MAX)),
        }
    }
}

fn size(count: Option<NonZeroU64>) -> NonZeroUsize {
    let size = count.and_then(|count| NonZeroUsize::try_from(count).ok());
    size.unwrap_or(NonZeroUsize::MAX)
}

fn at_least_one(size: usize) -> NonZeroUsize {
    NonZeroUsize::new(size).unwrap_or(NonZeroUsize::MIN)
}
