//! Buffers for data in flight, borrowed from a pool of the thread: an idle connection owns none.

use std::cell::RefCell;
use std::mem;

use spiped_proto::BUFFER_LEN;

/// How many unused buffers a thread keeps.
const POOL_LEN: usize = 16;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A queue of bytes that owns memory only while it holds some.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// Holds bytes, fewer than a buffer has.
    pub(crate) fn holding(bytes: Vec<u8>) -> Self {
        let (start, end) = (0, bytes.len());
        Self { bytes, start, end }
    }

    /// The bytes that were put in and not taken out.
    pub(crate) fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// The same, to be changed where they are.
    pub(crate) fn filled_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// All room there is beside the filled bytes, which move to the front for it. Memory comes from
    /// the pool if there is none yet.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        let filled = self.start..self.end;
        self.end = filled.len();
        self.start = 0;
        if self.bytes.len() == BUFFER_LEN {
            self.bytes.copy_within(filled, 0);
        } else {
            let pooled = POOL.with_borrow_mut(Vec::pop);
            let small = mem::replace(
                &mut self.bytes,
                pooled.unwrap_or_else(|| vec![0; BUFFER_LEN]),
            );
            let filled = small.get(filled).unwrap_or_default();
            self.bytes
                .split_at_mut(filled.len())
                .0
                .copy_from_slice(filled);
        }
        self.bytes.split_at_mut(self.end).1
    }

    /// Counts bytes at the start of the room as filled.
    pub(crate) fn fill(&mut self, len: usize) {
        self.end = self.bytes.len().min(self.end + len);
    }

    /// Takes bytes out; the memory goes back to the pool with the last of them.
    pub(crate) fn consume(&mut self, len: usize) {
        self.start = self.end.min(self.start + len);
        if self.is_empty() {
            self.release();
        }
    }

    /// Keeps what is filled, usually part of a packet, in no more memory than it takes, for a time
    /// without traffic.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            self.release();
        } else if self.bytes.len() == BUFFER_LEN {
            let filled = self.filled().to_vec();
            self.release();
            self.end = filled.len();
            self.bytes = filled;
        }
    }

    fn release(&mut self) {
        let bytes = mem::take(&mut self.bytes);
        (self.start, self.end) = (0, 0);
        if bytes.len() == BUFFER_LEN {
            // At the thread's end the pool is gone already, and the memory is simply freed.
            let _ = POOL.try_with(|pool| {
                let mut pool = pool.borrow_mut();
                if pool.len() < POOL_LEN {
                    pool.push(bytes);
                }
            });
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.release();
    }
}
