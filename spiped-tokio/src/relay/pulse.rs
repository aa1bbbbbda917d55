//! Looks of a relay that no event asks for.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::Traffic;

/// How often a relay that moves data looks for data without an event. After as long without data, the stream
/// gives back what only speeds it up.
pub(super) const BEAT: Duration = Duration::from_millis(300);

/// Beats while data moves, and once after it has stopped.
#[derive(Default)]
pub(super) struct Pulse {
    is_running: bool,
    /// The bytes that had moved at the last beat; none before the first.
    moved: Option<u64>,
}

impl Pulse {
    /// Ready at each beat; true if no data has moved since the one before.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut timer: Pin<&mut Sleep>,
        traffic: &Traffic,
    ) -> Poll<bool> {
        let moved = Some(traffic.sealed().wrapping_add(traffic.opened()));
        if !self.is_running {
            if moved == self.moved {
                return Poll::Pending;
            }
            self.is_running = true;
            self.moved = moved;
            timer.as_mut().reset(Instant::now() + BEAT);
        }
        ready!(timer.poll(cx));
        let is_quiet = moved == self.moved;
        self.is_running = false;
        Poll::Ready(is_quiet)
    }
}

#[cfg(test)]
mod tests;
