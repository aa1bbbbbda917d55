//! A fixed number of connection slots. A new connection always gets one: when all are taken, the
//! oldest connection is closed for it, unless it is pinned.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::AbortHandle;

/// The connections that have a slot, the oldest first.
#[derive(Debug)]
pub(super) struct ConnectionSlots {
    taken: VecDeque<(AbortHandle, Pin)>,
    max: usize,
}

/// Keeps a connection from being closed for another.
#[derive(Clone, Debug, Default)]
pub(super) struct Pin(Arc<AtomicBool>);

/// The connection is pinned until this is dropped.
pub(super) struct Pinned<'a>(&'a Pin);

impl Drop for Pinned<'_> {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

impl Pin {
    /// Pins the connection until the result is dropped.
    #[must_use]
    pub(super) fn take(&self) -> Pinned<'_> {
        self.0.store(true, Ordering::Relaxed);
        Pinned(self)
    }

    fn is_taken(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl ConnectionSlots {
    /// Starts with `max` free slots.
    pub(super) fn new(max: usize) -> Self {
        Self {
            taken: VecDeque::with_capacity(max),
            max,
        }
    }

    /// Gives the task of a connection a slot, for which another may have to end. At least one
    /// connection must not be pinned.
    pub(super) fn enter(&mut self, task: AbortHandle, pin: Pin) {
        self.taken.retain(|(task, _)| !task.is_finished());
        if self.taken.len() >= self.max {
            let oldest = self.taken.iter().position(|(_, pin)| !pin.is_taken());
            if let Some((task, _)) = oldest.and_then(|oldest| self.taken.remove(oldest)) {
                task.abort();
            }
        }
        self.taken.push_back((task, pin));
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::task::JoinHandle;

    use super::*;

    fn enter(slots: &mut ConnectionSlots) -> (JoinHandle<()>, Pin) {
        let (task, pin) = (tokio::spawn(pending()), Pin::default());
        slots.enter(task.abort_handle(), pin.clone());
        (task, pin)
    }

    #[tokio::test]
    async fn the_oldest_that_may_end_makes_room() {
        let mut slots = ConnectionSlots::new(3);
        let [first, second, third] = [(); 3].map(|()| enter(&mut slots));
        let pinned = first.1.take();
        let fourth = enter(&mut slots);
        assert!(second.0.await.unwrap_err().is_cancelled());
        let fifth = enter(&mut slots);
        assert!(third.0.await.unwrap_err().is_cancelled());
        // The fourth ends by itself, so its slot is free and no other has to end.
        fourth.0.abort();
        assert!(fourth.0.await.is_err());
        let sixth = enter(&mut slots);
        tokio::task::yield_now().await;
        for (task, _) in [&first, &fifth, &sixth] {
            assert!(!task.is_finished());
        }
        drop(pinned);
        let _seventh = enter(&mut slots);
        assert!(first.0.await.unwrap_err().is_cancelled());
    }
}
