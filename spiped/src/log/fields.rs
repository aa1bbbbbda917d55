//! The fields of a line: names and values for programs, beside the text for people.

use std::fmt;
use std::time::Duration;

use super::text::bounded;

/// Names and values, in the order in which they were added. A name has lower-case letters and underscores.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(&'static str, Value)>);

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A text, cut to the length of a line's text. It may have any character, control characters too.
    Text(String),
    Count(u64),
    Time(Duration),
}

impl Fields {
    /// Adds a text, which may come from outside.
    pub fn text(&mut self, name: &'static str, text: impl fmt::Display) {
        self.0
            .push((name, Value::Text(bounded(format_args!("{text}")))));
    }

    /// Adds a number.
    pub fn count(&mut self, name: &'static str, count: u64) {
        self.0.push((name, Value::Count(count)));
    }

    /// Adds a time, which programs get in seconds with six decimals.
    pub fn time(&mut self, name: &'static str, time: Duration) {
        self.0.push((name, Value::Time(time)));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    /// Returns the text of the field called `wanted`, if there is one.
    pub(super) fn find_text(&self, wanted: &str) -> Option<&str> {
        self.iter().find_map(|(name, value)| match value {
            Value::Text(text) if name == wanted => Some(&**text),
            _ => None,
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Count(count) => count.fmt(f),
            Self::Time(time) => write!(f, "{}.{:06}", time.as_secs(), time.subsec_micros()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_their_text() {
        let mut fields = Fields::default();
        fields.text("pipe", "a\nb\\");
        fields.count("bytes", u64::MAX);
        fields.time("seconds", Duration::from_nanos(61_000_001_999));
        let told: Vec<_> = fields
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            told,
            [
                "pipe=a\nb\\",
                "bytes=18446744073709551615",
                "seconds=61.000001"
            ]
        );
        assert_eq!(fields.find_text("pipe"), Some("a\nb\\"));
        assert_eq!(fields.find_text("bytes"), None);
    }
}
