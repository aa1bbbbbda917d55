//! The last text that was rendered for metrics, which requests share if it is long: anybody may ask, as often
//! as they like, and leave the answer unread.

use std::time::{Duration, Instant};

use hyper::body::Bytes;

/// The least bytes of a text that is shared: that of some fifty clients. A shorter one costs little.
const LONG: usize = 256 * 1024;
/// How long a text is shared.
const FRESH: Duration = Duration::from_secs(1);
/// How long it is shared while somebody reads it, so that no more than a few texts are in memory at a time.
const READ: Duration = Duration::from_secs(5);

/// The last text, if it is long.
#[derive(Debug, Default)]
pub(super) struct LastRendering(Option<(Instant, Bytes)>);

impl LastRendering {
    /// Returns the last text if it is to be shared, or else renders a new one.
    ///
    /// # Errors
    ///
    /// It cannot be rendered.
    pub(super) fn get<E>(
        &mut self,
        now: Instant,
        render: impl FnOnce() -> Result<String, E>,
    ) -> Result<Bytes, E> {
        if let Some((then, text)) = &self.0 {
            let shared = if text.is_unique() { FRESH } else { READ };
            if now.saturating_duration_since(*then) < shared {
                return Ok(text.clone());
            }
        }
        // Its memory is free for the new one.
        self.0 = None;
        let text = Bytes::from(render()?.into_bytes().into_boxed_slice());
        self.0 = (text.len() >= LONG).then(|| (now, text.clone()));
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Returns the text that is told after so many seconds; a new one of `length` bytes begins with `new`.
    fn told(
        last: &mut LastRendering,
        from: Instant,
        seconds: f64,
        new: u8,
        length: usize,
    ) -> Bytes {
        let now = from + Duration::from_secs_f64(seconds);
        let text = char::from(new).to_string().repeat(length);
        let Ok(text) = last.get(now, || Ok::<_, Infallible>(text));
        text
    }

    #[test]
    fn a_long_text_is_shared_for_a_second_or_while_it_is_read() {
        let (mut last, from) = (LastRendering::default(), Instant::now());
        let mut at = |seconds, new| told(&mut last, from, seconds, new, LONG);
        drop(at(0.0, b'a'));
        assert_eq!(at(0.9, b'b')[0], b'a');
        let read = at(1.1, b'c');
        assert_eq!(read[0], b'c');
        assert_eq!(at(6.0, b'd').as_ptr(), read.as_ptr());
        let newer = at(6.2, b'e');
        assert_eq!(newer[0], b'e');
        // Who reads an old one still has it.
        assert_eq!(read.len(), LONG);
        drop(newer);
        assert_eq!(at(7.3, b'f')[0], b'f');
    }

    #[test]
    fn a_short_text_is_always_new() {
        let (mut last, from) = (LastRendering::default(), Instant::now());
        let first = told(&mut last, from, 0.0, b'a', LONG - 1);
        assert_eq!(told(&mut last, from, 0.0, b'b', LONG - 1)[0], b'b');
        assert_eq!(first[0], b'a');
    }

    #[test]
    fn a_failure_is_not_kept() {
        let (mut last, from) = (LastRendering::default(), Instant::now());
        assert_eq!(last.get(from, || Err(())), Err(()));
        assert_eq!(told(&mut last, from, 0.0, b'a', LONG)[0], b'a');
    }
}
