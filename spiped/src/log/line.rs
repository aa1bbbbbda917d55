//! The text of a line, made safe to print.

use std::fmt;

use super::Level;

/// A line's text is cut after so many bytes; syslog daemons drop or split longer ones (RFC 3164
/// section 4.1 allows 1024 in all).
const TEXT_MAX: usize = 960;
const CUT: &str = "...";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) level: Level,
    text: String,
}

impl Line {
    pub(super) fn new(level: Level, message: fmt::Arguments<'_>) -> Self {
        Self {
            level,
            text: sanitized(&message.to_string()),
        }
    }

    /// No control characters, at most [`TEXT_MAX`] bytes.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

fn sanitized(message: &str) -> String {
    let mut text = String::with_capacity(message.len().min(TEXT_MAX));
    for character in message.chars() {
        let before = text.len();
        if deceives(character) {
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

/// Whether a character, printed as it is, makes the line look like something else. The backslash
/// is among them because it begins the escapes.
fn deceives(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\\' | '\u{61c}'
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
            let text = sanitized(&filler.repeat(2 * TEXT_MAX));
            assert!(
                text.len() <= TEXT_MAX && text.len() > TEXT_MAX - 12,
                "{}",
                text.len()
            );
            assert!(text.ends_with(CUT));
        }
        let fits = "x".repeat(TEXT_MAX - CUT.len());
        assert_eq!(sanitized(&fits), fits);
    }
}
