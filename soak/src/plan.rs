//! What a stream is to be, worked out by both of its sides from its number alone.

use std::ops::Range;
use std::time::Duration;

/// Bytes that a stream begins with: its number.
pub(crate) const HEADER: usize = 8;
/// Up to 16 MiB each way.
const LONGEST_BITS: u64 = 24;
/// So that no stream goes on for ever after the time is up.
const MOST_PIECES: u64 = 2000;
const MOST_PAUSES: u32 = 30;

/// Pseudo-random numbers (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    /// Small ones as likely as large ones.
    fn size(&mut self) -> u64 {
        let bits = self.within(0..LONGEST_BITS);
        self.within(0..(2 << bits))
    }
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Each direction when all is sent.
    Orderly,
    /// The target answers only once the client has ended its direction.
    AnswerAfterEnd,
    /// The client breaks it, having read and sent so much.
    ClientResets(u64, u64),
    /// The target breaks it, having read and sent so much.
    TargetResets(u64, u64),
}

/// A stream's sizes and end.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) number: u64,
    /// Bytes to the target, the header not counted.
    pub(crate) up: u64,
    /// Bytes to the client.
    pub(crate) down: u64,
    pub(crate) ending: Ending,
    /// How the sides read and write: see [`Manner`].
    slow: bool,
}

/// How one side does one direction: in pieces of any size, with pauses.
#[derive(Debug)]
pub(crate) struct Manner {
    random: Random,
    smallest: u64,
    largest: u64,
    pauses: u32,
    slow: bool,
}

impl Plan {
    pub(crate) fn of(number: u64) -> Self {
        let mut random = Random::new(number);
        let (up, down) = (random.size(), random.size());
        let part = |random: &mut Random, of: u64| random.within(0..of + 1);
        let ending = match random.within(0..10) {
            0 | 1 => Ending::AnswerAfterEnd,
            // A direction that is sent in full might have ended in order.
            2 => Ending::ClientResets(part(&mut random, down), part(&mut random, up)),
            3 => Ending::TargetResets(part(&mut random, up), part(&mut random, down)),
            _ => Ending::Orderly,
        };
        Self {
            number,
            up,
            down,
            ending,
            slow: random.one_in(4),
        }
    }

    /// The pattern to the target.
    pub(crate) fn up_seed(&self) -> u64 {
        self.number
    }

    /// The pattern to the client.
    pub(crate) fn down_seed(&self) -> u64 {
        !self.number
    }

    /// How a direction of so many bytes is read or written; `which` is another number for each.
    pub(crate) fn manner(&self, which: u64, length: u64) -> Manner {
        let mut random = Random::new(self.number ^ (which << 56));
        let smallest = 1 + length / MOST_PIECES;
        Manner {
            smallest,
            largest: smallest.max(1 << random.within(0..17)),
            random,
            pauses: MOST_PAUSES,
            slow: self.slow,
        }
    }
}

impl Manner {
    /// How much to read or write next.
    pub(crate) fn piece(&mut self, most: u64) -> u64 {
        self.random
            .within(self.smallest..self.largest + 1)
            .min(most)
    }

    /// How long to wait first. Some streams wait for seconds now and then.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = match self.random.within(0..100) {
            0 if self.slow => self.random.within(500..3000),
            1..10 if self.slow => self.random.within(1..50),
            10..15 => self.random.within(1..5),
            _ => 0,
        };
        if pause > 0 && self.pauses > 0 {
            self.pauses -= 1;
            return Duration::from_millis(pause);
        }
        Duration::ZERO
    }
}
