//! The types of values that settings have. Each has its default, and is read from a command line and
//! from a file in one way.

use std::ffi::OsString;
use std::fmt::{self, Display};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{
    OsStringValueParser, PossibleValuesParser, TypedValueParser, ValueParser, ValueParserFactory,
};
use spiped_tokio::{Version, Versions};

use crate::config::network::Networks;
use crate::config::number;
use crate::keys::keyfile::KeySource;
use crate::log::{Destination, Level};
use crate::os::sandbox::Sandbox;

/// A time from 1 ms to 2^32 s, read as a decimal number of seconds. 0 stands for `DEFAULT` seconds,
/// as in C spiped, and so does a time that is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds<const DEFAULT: u64>(Duration);

impl<const DEFAULT: u64> Seconds<DEFAULT> {
    /// Returns the time.
    #[must_use]
    pub fn get(self) -> Duration {
        self.0
    }

    /// Returns the time; `None` for 0, where that stands for no limit.
    #[must_use]
    pub fn if_any(self) -> Option<Duration> {
        Some(self.0).filter(|time| !time.is_zero())
    }
}

impl<const DEFAULT: u64> Default for Seconds<DEFAULT> {
    fn default() -> Self {
        Self(Duration::from_secs(DEFAULT))
    }
}

impl<const DEFAULT: u64> From<Duration> for Seconds<DEFAULT> {
    fn from(time: Duration) -> Self {
        Self(time)
    }
}

impl<const DEFAULT: u64> FromStr for Seconds<DEFAULT> {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        number::seconds(given, Self::default().0).map(Self)
    }
}

impl<const DEFAULT: u64> Display for Seconds<DEFAULT> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_secs_f64())
    }
}

/// An upper limit on a number, read as C's `strtoull` reads a number. A limit that is not given is
/// `DEFAULT`; 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit<const DEFAULT: u64>(Option<NonZeroU64>);

impl<const DEFAULT: u64> Limit<DEFAULT> {
    /// Returns the limit; `None` is no limit.
    #[must_use]
    pub fn get(self) -> Option<NonZeroU64> {
        self.0
    }
}

impl<const DEFAULT: u64> Default for Limit<DEFAULT> {
    fn default() -> Self {
        Self(NonZeroU64::new(DEFAULT))
    }
}

impl<const DEFAULT: u64> From<Option<NonZeroU64>> for Limit<DEFAULT> {
    fn from(limit: Option<NonZeroU64>) -> Self {
        Self(limit)
    }
}

impl<const DEFAULT: u64> FromStr for Limit<DEFAULT> {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        number::count(given).map(Self)
    }
}

impl<const DEFAULT: u64> Display for Limit<DEFAULT> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.map_or(0, NonZeroU64::get))
    }
}

/// The end of the pipe that a daemon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Plain at the source, encrypted at the target (`-e`).
    Encrypt,
    /// Encrypted at the source, plain at the target (`-d`).
    Decrypt,
}

/// The way to choose one target of several for a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// The first that works.
    #[default]
    Order,
    /// Each in turn.
    RoundRobin,
}

/// The version of the PROXY protocol whose header the target gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// The only version of the protocol that an end speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// That of C spiped 1.0 to 1.6.
    V1,
    /// The one with authenticated ends of streams.
    V2,
}

impl From<Protocol> for Versions {
    fn from(only: Protocol) -> Self {
        Self::Only(match only {
            Protocol::V1 => Version::V1,
            Protocol::V2 => Version::V2,
        })
    }
}

/// A type with a few values, each of which is shown and read as a word.
trait Words: Copy + Display + Send + Sync + 'static {
    /// All values, in the order in which errors list them.
    const ALL: &'static [Self];

    fn words() -> Vec<String> {
        Self::ALL.iter().map(ToString::to_string).collect()
    }

    fn read(given: &str) -> Result<Self, String> {
        let mut all = Self::ALL.iter();
        let found = all.find(|value| value.to_string() == given).copied();
        found.ok_or_else(|| match &Self::words()[..] {
            [one, other] => format!("{given:?} is neither {one:?} nor {other:?}"),
            words => format!("{given:?} is none of {}", words.join(", ")),
        })
    }
}

/// Has a type with [`Words`] read from a file, and from a command line, whose completions offer the words.
macro_rules! read_words {
    ($type:ty) => {
        impl FromStr for $type {
            type Err = String;

            fn from_str(given: &str) -> Result<Self, String> {
                Self::read(given)
            }
        }

        impl ValueParserFactory for $type {
            type Parser = ValueParser;

            fn value_parser() -> ValueParser {
                let known = PossibleValuesParser::new(Self::words());
                known.try_map(|given| Self::read(&given)).into()
            }
        }
    };
}

macro_rules! words {
    ($type:ident, $($value:ident => $word:literal),*) => {
        impl Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$value => $word,)*
                })
            }
        }

        impl Words for $type {
            const ALL: &'static [Self] = &[$(Self::$value),*];
        }

        read_words!($type);
    };
}

words!(Mode, Encrypt => "encrypt", Decrypt => "decrypt");
words!(Balance, Order => "order", RoundRobin => "round-robin");
words!(Protocol, V1 => "1", V2 => "2");
words!(ProxyVersion, V1 => "v1", V2 => "v2");
words!(Sandbox, On => "on", Off => "off", Require => "require");

impl Words for Level {
    const ALL: &'static [Self] = &[Self::Error, Self::Warning, Self::Notice, Self::Info];
}

read_words!(Level);

/// The values of `--log-format`. `Syslog` is not among them, as it has the option `--syslog`.
impl Words for Destination {
    const ALL: &'static [Self] = &[Self::Stderr, Self::Json, Self::Journal];
}

read_words!(Destination);

/// Returns a parser of any text in UTF-8.
pub(crate) fn utf8() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().try_map(|given| {
        OsString::into_string(given).map_err(|given| format!("{given:?} is not valid UTF-8"))
    })
}

/// Returns a parser of paths. It takes any bytes; whether they name a file shows when it is used. No file has
/// an empty path, which is what a variable of a shell that is not set gives.
pub(crate) fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|given| match given.is_empty() {
        true => Err("the value is empty, and a path is needed"),
        false => Ok(PathBuf::from(given)),
    })
}

/// Returns a parser of the texts that `T` reads.
fn parsed<T>() -> ValueParser
where
    T: FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    utf8().try_map(|given| given.parse::<T>()).into()
}

impl<const DEFAULT: u64> ValueParserFactory for Seconds<DEFAULT> {
    type Parser = ValueParser;

    fn value_parser() -> ValueParser {
        parsed::<Self>()
    }
}

impl<const DEFAULT: u64> ValueParserFactory for Limit<DEFAULT> {
    type Parser = ValueParser;

    fn value_parser() -> ValueParser {
        parsed::<Self>()
    }
}

impl ValueParserFactory for Networks {
    type Parser = ValueParser;

    fn value_parser() -> ValueParser {
        parsed::<Self>()
    }
}

/// Makes `-` standard input, and a path of any other value.
impl From<OsString> for KeySource {
    fn from(given: OsString) -> Self {
        match given.to_str() {
            Some("-") => Self::Stdin,
            _ => Self::File(given.into()),
        }
    }
}

impl ValueParserFactory for KeySource {
    type Parser = ValueParser;

    fn value_parser() -> ValueParser {
        path().map(|path| Self::from(path.into_os_string())).into()
    }
}
