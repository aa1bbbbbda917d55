//! Which directions move bulk data, and whether a spare thread would make them faster.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::buffer::PLAINTEXT_LEN;
use crate::handshake::processors;
use crate::processor_time::ProcessorTime;

/// What a read of bulk data brings at least. The receive buffer of a fast connection is emptied every
/// few reads, and the last of them finds less than it could take.
pub(crate) const BULK_READ: usize = PLAINTEXT_LEN / 2;
/// So many of those in a row are bulk data.
const READS: u32 = 8;
/// So many bytes are moved without help, to find out whether it is of use;
const ALONE: usize = 32 << 20;
/// and if so, as many with it.
const HELPED: usize = 512 << 20;
/// A direction that works for this share of the time, in percent, is bound by one processor, and
/// competes with nobody for it. One that waits would gain nothing, and where threads wait for
/// processors, help costs more than it gives.
const BOUND: u32 = 85;

static DIRECTIONS: AtomicUsize = AtomicUsize::new(0);

/// How many directions of all streams move bulk data.
pub(super) fn directions() -> usize {
    DIRECTIONS.load(Ordering::Relaxed)
}

/// The pace of one direction.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Long reads in a row, up to those that make bulk data.
    reads: u32,
    bulk: Option<Box<Bulk>>,
}

#[derive(Debug)]
struct Bulk {
    /// Whether it is one of the directions that move data now.
    counted: bool,
    /// How many there are.
    processors: usize,
    helped: bool,
    /// Bytes until that is decided anew.
    left: usize,
    /// Since when it moves those,
    began: Instant,
    /// and how much of that it worked.
    worked: Duration,
}

impl Pace {
    pub(crate) fn read(&mut self, len: usize) {
        if len < BULK_READ {
            *self = Self::default();
        } else if let Some(bulk) = &mut self.bulk {
            bulk.read(len);
        } else {
            self.reads += 1;
            self.bulk = (self.reads == READS).then(|| Box::new(Bulk::new()));
        }
    }

    /// There is nothing to read. That may last forever, or no time at all.
    pub(crate) fn pause(&mut self) {
        if let Some(bulk) = &mut self.bulk {
            bulk.count(false);
        }
    }

    /// The calling thread begins to work for this direction.
    pub(crate) fn begin(&self) -> Option<ProcessorTime> {
        let bulk = self.bulk.as_ref().filter(|bulk| !bulk.helped)?;
        (bulk.processors > 1).then(ProcessorTime::now)?
    }

    /// It turns to something else.
    pub(crate) fn end(&mut self, began: Option<ProcessorTime>) {
        if let (Some(bulk), Some(began)) = (&mut self.bulk, began) {
            bulk.worked += began.elapsed();
        }
    }

    pub(crate) fn wants_help(&self) -> bool {
        self.bulk.as_ref().is_some_and(|bulk| bulk.wants_help())
    }
}

impl Bulk {
    fn new() -> Self {
        let mut bulk = Self {
            counted: false,
            processors: processors::count(),
            helped: false,
            left: ALONE,
            began: Instant::now(),
            worked: Duration::ZERO,
        };
        bulk.count(true);
        bulk
    }

    fn count(&mut self, moving: bool) {
        match (self.counted, moving) {
            (false, true) => _ = DIRECTIONS.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = DIRECTIONS.fetch_sub(1, Ordering::Relaxed),
            _ => {}
        }
        self.counted = moving;
    }

    fn read(&mut self, len: usize) {
        self.count(true);
        self.left = self.left.saturating_sub(len);
        if self.left == 0 {
            self.helped = self.worked.saturating_mul(100) >= self.began.elapsed() * BOUND;
            self.left = if self.helped { HELPED } else { ALONE };
            self.began = Instant::now();
            self.worked = Duration::ZERO;
        }
    }

    /// Few enough directions move bulk data to leave processors without work.
    fn wants_help(&self) -> bool {
        let with_this_one = directions() + usize::from(!self.counted);
        self.helped && 2 * with_this_one <= self.processors
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        self.count(false);
    }
}

#[cfg(test)]
impl Pace {
    /// Of a direction that is helped until a short read. Spare threads are there as long as it lives.
    pub(crate) fn helped() -> Self {
        let mut bulk = Bulk::new();
        (bulk.helped, bulk.processors) = (true, usize::MAX);
        Self {
            reads: READS,
            bulk: Some(Box::new(bulk)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(reads: impl IntoIterator<Item = usize>) -> Pace {
        let mut pace = Pace::default();
        reads.into_iter().for_each(|len| pace.read(len));
        pace
    }

    fn move_bytes(pace: &mut Pace, bytes: usize) {
        for _ in 0..bytes / BULK_READ {
            pace.read(BULK_READ);
        }
    }

    #[test]
    fn bulk_data_are_long_reads_in_a_row() {
        let long = |reads: u32| vec![BULK_READ; reads as usize];
        assert!(pace(long(READS - 1)).bulk.is_none());
        assert!(pace(long(READS)).bulk.is_some());
        assert!(
            pace([long(READS), vec![BULK_READ - 1]].concat())
                .bulk
                .is_none()
        );
        assert!(
            pace([long(9), vec![1], long(READS - 1)].concat())
                .bulk
                .is_none()
        );
    }

    #[test]
    fn who_works_nearly_all_the_time_is_helped_for_a_while() {
        let mut pace = pace([BULK_READ; READS as usize]);
        pace.bulk.as_mut().unwrap().processors = 64;
        for (worked, helped) in [(Duration::ZERO, false), (Duration::MAX, true)] {
            let bulk = pace.bulk.as_mut().unwrap();
            bulk.worked = worked;
            bulk.began = Instant::now() - Duration::from_millis(1);
            move_bytes(&mut pace, ALONE - BULK_READ);
            assert!(!pace.wants_help() && pace.begin().is_some());
            move_bytes(&mut pace, BULK_READ);
            assert_eq!(pace.wants_help(), helped);
            assert_eq!(pace.begin().is_some(), !helped);
        }
        move_bytes(&mut pace, HELPED - BULK_READ);
        assert!(pace.wants_help());
        move_bytes(&mut pace, BULK_READ);
        assert!(!pace.wants_help());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn waiting_is_no_work() {
        let mut pace = pace([BULK_READ; READS as usize]);
        pace.bulk.as_mut().unwrap().processors = 64;
        let began = pace.begin();
        std::thread::sleep(Duration::from_millis(20));
        pace.end(began);
        let slept = pace.bulk.as_ref().unwrap().worked;
        assert!(slept < Duration::from_millis(10), "{slept:?}");
        let began = pace.begin();
        while pace.begin().unwrap().elapsed() == Duration::ZERO {}
        pace.end(began);
        assert!(pace.bulk.as_ref().unwrap().worked > slept);
    }

    #[test]
    fn half_as_many_directions_as_processors_get_help() {
        // Tests beside this one may have a few more.
        const OTHERS: usize = 10;
        let mut paces: Vec<_> = (0..33).map(|_| Pace::helped()).collect();
        for pace in &mut paces {
            pace.bulk.as_mut().unwrap().processors = 64;
        }
        assert!(!paces.iter().any(Pace::wants_help));
        for paused in paces.iter_mut().take(OTHERS) {
            paused.pause();
        }
        assert!(paces.iter().all(Pace::wants_help));
        drop(paces);
        assert!(directions() <= OTHERS);
    }

    #[test]
    fn with_one_processor_there_is_no_help() {
        let mut pace = pace([BULK_READ; READS as usize]);
        let bulk = pace.bulk.as_mut().unwrap();
        (bulk.worked, bulk.processors) = (Duration::MAX, 1);
        move_bytes(&mut pace, ALONE);
        assert!(!pace.wants_help() && pace.begin().is_none());
    }
}
