//! A fuzzer's bytes, taken apart from the front into what a target needs.
//!
//! Every sequence of bytes is legal: what is missing at the end is zero. So a small change of the
//! bytes is a small change of the case, and a seed can be written by hand.

/// What is left of the bytes.
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.bytes(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    /// Two bytes, the lower one first.
    pub(crate) fn number(&mut self) -> usize {
        u16::from_le_bytes(self.array()).into()
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Up to 15 lengths; none is "all at once".
    pub(crate) fn cuts(&mut self) -> Cuts {
        let count = self.byte() % 16;
        Cuts {
            lengths: (0..count).map(|_| self.number()).collect(),
            next: 0,
        }
    }
}

/// Lengths of the pieces in which something arrives, in turn and for ever.
pub(crate) struct Cuts {
    lengths: Vec<usize>,
    next: usize,
}

impl Cuts {
    /// The length of the next piece, at least 1 if there is anything.
    pub(crate) fn next(&mut self, most: usize) -> usize {
        let Some(length) = self.lengths.get(self.next) else {
            return most;
        };
        self.next = (self.next + 1) % self.lengths.len();
        (*length).clamp(1, most.max(1)).min(most)
    }
}
