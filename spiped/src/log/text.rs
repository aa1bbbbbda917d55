//! The text of a line for people: of bounded length, and safe to print.

use std::fmt::{self, Write};

/// The most bytes of a line's text; syslog daemons drop or split longer lines (RFC 3164 section 4.1
/// allows 1024 in all).
pub(super) const TEXT_MAX: usize = 960;
/// The end of a text that was cut.
const CUT: &str = "...";

/// Formats a text, cut after [`TEXT_MAX`] bytes.
pub(super) fn bounded(text: fmt::Arguments<'_>) -> String {
    let mut bounded = Bounded(String::new());
    match bounded.write_fmt(text) {
        Ok(()) => {}
        Err(fmt::Error) => bounded.0.push_str(CUT),
    }
    bounded.0
}

/// A text of at most [`TEXT_MAX`] bytes. Writing more fails, so that the rest is not even formatted.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = TEXT_MAX - CUT.len() - self.0.len();
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let boundary = (0..=room).rfind(|&index| text.is_char_boundary(index));
        self.0.push_str(&text[..boundary.unwrap_or_default()]);
        Err(fmt::Error)
    }
}

/// Returns a text without characters that deceive, each escaped, cut after [`TEXT_MAX`] bytes.
pub(super) fn sanitized(message: &str) -> String {
    let mut text = String::with_capacity(message.len().min(TEXT_MAX));
    for character in message.chars() {
        let before = text.len();
        if character == '\\' || deceives(character) {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
        if text.len() > TEXT_MAX - CUT.len() {
            text.truncate(before);
            text.push_str(CUT);
            break;
        }
    }
    text
}

/// Whether a character could make the printed line look like another one.
pub(super) fn deceives(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_stays() {
        let text = "connection from [::1]:4711: \"größer\" 50% – ok";
        assert_eq!(sanitized(text), text);
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(sanitized("a\nspiped: forged"), "a\\nspiped: forged");
        assert_eq!(
            sanitized("\r\t\0\x1b[31m\x7f\u{9b}"),
            "\\r\\t\\u{0}\\u{1b}[31m\\u{7f}\\u{9b}"
        );
    }

    #[test]
    fn line_breaks_and_direction_marks_of_unicode_are_escaped() {
        assert_eq!(
            sanitized("a\u{2028}b\u{202e}c\u{2067}"),
            "a\\u{2028}b\\u{202e}c\\u{2067}"
        );
    }

    #[test]
    fn an_escape_cannot_be_faked() {
        assert_ne!(sanitized("\\n"), sanitized("\n"));
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        for filler in ["x", "ß", "\n", "🔑"] {
            let long = filler.repeat(2 * TEXT_MAX);
            for text in [sanitized(&long), bounded(format_args!("{long}"))] {
                assert!(
                    text.len() <= TEXT_MAX && text.len() > TEXT_MAX - 12,
                    "{}",
                    text.len()
                );
                assert!(text.ends_with(CUT));
            }
        }
        let fits = "x".repeat(TEXT_MAX - CUT.len());
        assert_eq!(sanitized(&fits), fits);
        assert_eq!(bounded(format_args!("x{}", &fits[1..])), fits);
    }

    #[test]
    fn what_comes_after_the_cut_is_not_even_formatted() {
        struct Endless;
        impl fmt::Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("and so on ")?;
                }
            }
        }
        assert_eq!(bounded(format_args!("{Endless}")).len(), TEXT_MAX);
    }
}
