//! Encodes a line as a JSON object (RFC 8259), for collectors of logs.

use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use super::fields::Value;
use super::line::Line;
use super::text::deceives;

/// Returns a line as an object without a line break: time, level, class, message, then the fields.
pub(super) fn object(line: &Line) -> String {
    let mut object = format!(
        r#"{{"time":"{}","level":"{}","class":"{}","message":{}"#,
        Timestamp(line.time),
        line.level,
        line.class,
        Quoted(&line.message)
    );
    for (name, value) in line.fields.iter() {
        // Writing to a string never fails.
        let _ = match value {
            Value::Text(text) => write!(object, r#","{name}":{}"#, Quoted(text)),
            number => write!(object, r#","{name}":{number}"#),
        };
    }
    object.push('}');
    object
}

/// A text as a string of JSON. Characters that deceive a reader are escaped too, though JSON allows them.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' | '\\' => write!(f, "\\{character}")?,
                '\n' => f.write_str("\\n")?,
                _ if deceives(character) => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        write!(f, "\\u{unit:04x}")?;
                    }
                }
                _ => f.write_char(character)?,
            }
        }
        f.write_char('"')
    }
}

/// A time in UTC with milliseconds (RFC 3339). A time before 1970 is written as the beginning of 1970.
struct Timestamp(SystemTime);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        let (year, month, day) = date(days);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            second / 3600,
            second / 60 % 60,
            second % 60,
            since.subsec_millis()
        )
    }
}

/// Returns the year, month and day of the month of the date `days` after 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    // Days are counted from 0000-03-01, in years that begin in March, so a leap day is the last day of its
    // year. Each 400 years have the same number of days.
    const BEFORE_1970: u64 = 719_468;
    const IN_400_YEARS: u64 = 146_097;
    let days = days + BEFORE_1970;
    let (cycle, day) = (days / IN_400_YEARS, days % IN_400_YEARS);
    // Without its leap days, each year has 365 days.
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // The five months from March on have 153 days, and so have the five months from August on.
    let month = (5 * day + 2) / 153;
    let of_month = day - (153 * month + 2) / 5 + 1;
    let year = 400 * cycle + year;
    match month {
        0..=9 => (year, month + 3, of_month),
        _ => (year + 1, month - 9, of_month),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::{Class, Level};
    use super::*;

    fn at(milliseconds: u64) -> String {
        Timestamp(UNIX_EPOCH + Duration::from_millis(milliseconds)).to_string()
    }

    /// The reference values are from `date -u -d @SECONDS`.
    #[test]
    fn timestamps_are_those_of_the_calendar() {
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(at(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(951_868_800_001), "2000-03-01T00:00:00.001Z");
        assert_eq!(at(1_735_689_599_000), "2024-12-31T23:59:59.000Z");
        assert_eq!(at(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn each_day_is_the_one_after_the_day_before() {
        let length = |year: u64, month: u64| match month {
            2 if year.is_multiple_of(if year.is_multiple_of(100) { 400 } else { 4 }) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..400_000 {
            assert_eq!(date(days), (year, month, day), "{days}");
            day += 1;
            if day > length(year, month) {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn a_clock_at_its_ends_does_no_harm() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Timestamp(before).to_string(), at(0));
        let last = UNIX_EPOCH.checked_add(Duration::from_secs(i64::MAX as u64));
        assert!(Timestamp(last.unwrap()).to_string().ends_with('Z'));
    }

    #[test]
    fn an_object_is_one_line_and_parses_to_what_was_said() {
        let hostile = "\"},{\\\n\r\0\x1b[31m\x7f\u{9b}\u{2028}\u{202e}\u{feff} größer 🔑";
        let mut line = Line::new(
            Level::Warning,
            Class::Dial,
            format_args!("{hostile}"),
            |fields| {
                fields.text("pipe", hostile);
                fields.count("bytes", u64::MAX);
                fields.time("seconds", Duration::from_micros(1_000_001));
            },
        );
        line.time = UNIX_EPOCH;
        let object = object(&line);
        assert!(!object.chars().any(deceives), "{object}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&object).unwrap(),
            json!({
                "time": "1970-01-01T00:00:00.000Z",
                "level": "warning",
                "class": "dial",
                "message": hostile,
                "pipe": hostile,
                "bytes": u64::MAX,
                "seconds": 1.000_001,
            })
        );
    }
}
