//! How many connections a pipe may have, by what they have come to.

use std::num::{NonZeroU64, NonZeroUsize};

use crate::cli::SpipedOptions;
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
    /// share what those who are leave over.
    #[must_use]
    pub fn new(options: &SpipedOptions, descriptors: DescriptorLimit) -> Self {
        let served = options.max_connections;
        let spare = descriptors.beside(served.map(NonZeroU64::get));
        let spare = usize::try_from(spare).unwrap_or(usize::MAX);
        // Without a limit nobody waits.
        let waiting = served.map_or(0, |_| spare / 2).min(WAITING_MAX);
        let unproved = size(options.max_unproved).min(at_least_one(spare - waiting));
        Self {
            served,
            unproved: Bounds {
                all: unproved,
                per_source: options.max_unproved_per_source.map(|max| size(Some(max))),
            },
            waiting: at_least_one(waiting),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{SpipedCommand, parse_spiped};

    fn limits(options: &str, descriptors: u64) -> (usize, Option<usize>, usize) {
        let line = format!("-d -s /s -t /t -k key {options}");
        let words = line.split_ascii_whitespace().map(Into::into);
        let Ok(SpipedCommand::Run(options)) = parse_spiped(words) else {
            panic!("{line}");
        };
        let limits = Limits::new(&options, DescriptorLimit::of(descriptors));
        let per_source = limits.unproved.per_source.map(NonZeroUsize::get);
        let unproved = limits.unproved.all.get();
        (unproved, per_source, limits.waiting.get())
    }

    #[test]
    fn with_many_descriptors_they_are_what_is_asked_for() {
        assert_eq!(limits("", 1_000_000), (4096, None, 4096));
        let asked = "--max-unproved 7 --max-unproved-per-source 3";
        assert_eq!(limits(asked, 1_000_000), (7, Some(3), 4096));
    }

    #[test]
    fn with_few_descriptors_those_who_are_not_served_share_the_rest() {
        assert_eq!(limits("", 1064), (400, None, 400));
        assert_eq!(limits("--max-unproved 0", 1064), (400, None, 400));
        assert_eq!(limits("-n 0", 1064), (500, None, 1));
        assert_eq!(limits("-n 1000", 1064), (63, None, 62));
        assert_eq!(limits("", 3), (1, None, 1));
    }
}
