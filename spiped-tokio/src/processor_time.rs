//! The processor time of the calling thread. Linux only: elsewhere it is not known.

#[cfg(target_os = "linux")]
pub(crate) use linux::ProcessorTime;
#[cfg(not(target_os = "linux"))]
pub(crate) use other::ProcessorTime;

#[cfg(target_os = "linux")]
mod linux {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    /// How long a thread had a processor, at some moment.
    #[derive(Debug)]
    pub(crate) struct ProcessorTime(Duration);

    impl ProcessorTime {
        pub(crate) fn now() -> Option<Self> {
            let time = clock_gettime(ClockId::ThreadCPUTime);
            Duration::try_from(time).ok().map(Self)
        }

        /// What the same thread had since.
        pub(crate) fn elapsed(&self) -> Duration {
            Self::now().map_or(Duration::ZERO, |now| now.0.saturating_sub(self.0))
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use std::time::Duration;

    #[derive(Debug)]
    pub(crate) enum ProcessorTime {}

    impl ProcessorTime {
        pub(crate) fn now() -> Option<Self> {
            None
        }

        pub(crate) fn elapsed(&self) -> Duration {
            match *self {}
        }
    }
}
