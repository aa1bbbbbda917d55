//! Counts and times as the command line and the configuration take them: what C spiped reads as a
//! number is one here, with the exceptions that the man page names.

use std::num::{IntErrorKind, NonZeroU64};
use std::time::Duration;

/// The shortest time in seconds, other than 0.
const SHORTEST: f64 = 0.001;
/// The longest time in seconds. Clocks and timers can add it to the present; those of C spiped overflow
/// beyond it.
const LONGEST: f64 = 4_294_967_296.0;

/// Reads a limit. None is no limit: 0, or a negative number, which C spiped takes for a huge one.
///
/// Decimal, octal behind `0` or hexadecimal behind `0x`, as C's `strtoull` has it.
pub(crate) fn count(given: &str) -> Result<Option<NonZeroU64>, String> {
    let (negative, digits) = sign(skip_space(given));
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', ..] => (8, digits),
        _ => (10, digits),
    };
    let not_whole = || format!("{given:?} is not a whole number");
    // `from_str_radix` would take a second sign.
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(not_whole());
    }
    match u64::from_str_radix(digits, radix) {
        Ok(_) if negative => Ok(None),
        Ok(magnitude) => Ok(NonZeroU64::new(magnitude)),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => {
            Err(format!("{given:?} is too large"))
        }
        Err(_) => Err(not_whole()),
    }
}

/// Reads a time in seconds, a decimal. 0 is `default`, as in C spiped.
pub(crate) fn seconds(given: &str, default: Duration) -> Result<Duration, String> {
    let number = skip_space(given);
    let Ok(value) = number.parse::<f64>() else {
        return Err(format!("{given:?} is not a number of seconds"));
    };
    if value == 0.0 && !underflowed(number) {
        return Ok(default);
    }
    // NaN is in no range.
    if !(SHORTEST..=LONGEST).contains(&value) {
        return Err(format!(
            "{given:?} is not between {SHORTEST} and {LONGEST} seconds"
        ));
    }
    Duration::try_from_secs_f64(value).map_err(|error| format!("{given:?}: {error}"))
}

/// Whether a number that reads as 0 is merely too small for a float.
fn underflowed(number: &str) -> bool {
    let mantissa = number.split(['e', 'E']).next().unwrap_or(number);
    mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'))
}

fn skip_space(given: &str) -> &str {
    given.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r'])
}

fn sign(number: &str) -> (bool, &str) {
    match number.as_bytes() {
        [b'-', ..] => (true, &number[1..]),
        [b'+', ..] => (false, &number[1..]),
        _ => (false, number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_as_c_reads_them() {
        let limit = |text: &str| count(text).unwrap().map_or(0, NonZeroU64::get);
        for (text, expected) in [
            ("0", 0),
            ("1", 1),
            ("+5", 5),
            ("-0", 0),
            ("-1", 0),
            ("010", 8),
            ("0x10", 16),
            ("0Xff", 255),
            (" \t\n5", 5),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(limit(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_count_is_refused() {
        for text in [
            "", " ", "-", "+", "x", "5x", "5 ", "08", "0x", "0x+5", "--5", "+-5", "1e3", "1.5",
            "0b1", "1_000", "１",
        ] {
            let refused = count(text).unwrap_err();
            assert!(refused.ends_with("is not a whole number"), "{refused}");
        }
        for text in ["18446744073709551616", "-99999999999999999999999"] {
            let refused = count(text).unwrap_err();
            assert!(refused.ends_with("is too large"), "{refused}");
        }
    }

    #[test]
    fn times_are_decimals() {
        let default = Duration::from_secs(77);
        for (text, expected) in [
            ("5", Duration::from_secs(5)),
            ("5.", Duration::from_secs(5)),
            (" +.5", Duration::from_millis(500)),
            ("1e-3", Duration::from_millis(1)),
            ("010", Duration::from_secs(10)),
            ("2147483647", Duration::from_secs(2_147_483_647)),
            ("4294967296", Duration::from_secs(4_294_967_296)),
            ("0", default),
            ("-0", default),
            ("0.000", default),
            ("0e5", default),
        ] {
            assert_eq!(seconds(text, default), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in ["", " ", "x", "5s", "5 ", "1,5", "0x10", ".", "1e", "--1"] {
            let refused = seconds(text, Duration::ZERO).unwrap_err();
            assert!(refused.ends_with("is not a number of seconds"), "{refused}");
        }
        for text in [
            "-1",
            "-1e-300",
            "nan",
            "-nan",
            "inf",
            "-inf",
            "1e309",
            "1e308",
            "4294967297",
            "1e-4",
            "1e-400",
            "0.0009",
        ] {
            let refused = seconds(text, Duration::ZERO).unwrap_err();
            assert!(
                refused.ends_with("is not between 0.001 and 4294967296 seconds"),
                "{refused}"
            );
        }
    }
}
