//! One pipe of a file, out of its own settings and those that pipes share.

use std::collections::HashSet;
use std::fmt::Display;
use std::hash::Hash;
use std::num::NonZeroU64;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use spiped_tokio::{Address, ForwardSecrecy, TargetAddress};
use toml::Spanned;
use toml::de::DeValue;

use super::table::{Table, Value, article};
use super::{KeyFiles, Name, Wrong};
use crate::cli::PIPE_OPTIONS;
use crate::config::network::{self, Network};
use crate::config::number;
use crate::config::settings::{Balance, ConnectionConfig, Mode, PipeConfig};
use crate::keys::keyfile::KeySource;
use crate::keys::{Keys, KeysSource};
use crate::pipe::proxy_protocol::Version;

/// What a pipe can have besides what the command line calls by the same names.
const MORE: [&str; 2] = ["mode", "balance"];
/// What is each pipe's own.
const OWN: [&str; 1] = ["source"];
const NAME_MAX: usize = 64;

/// Reads pipes, and notes what is wrong with them.
pub(super) struct Reader<'i, 'a> {
    pub(super) defaults: Table<'i>,
    pub(super) folder: &'a Path,
    pub(super) keys: KeyFiles,
    pub(super) wrong: Vec<Wrong>,
}

impl<'i> Reader<'i, '_> {
    /// Says what the defaults have that means nothing.
    pub(super) fn check_defaults(&mut self) {
        let shared: Vec<_> = settings().filter(|name| !OWN.contains(name)).collect();
        self.defaults.nothing_else(&shared, &mut self.wrong);
    }

    /// `None` if so much is wrong with it that nothing is left; all that is wrong is noted.
    pub(super) fn pipe(
        &mut self,
        name: Spanned<String>,
        value: Value<'i>,
    ) -> Option<Spanned<PipeConfig>> {
        let at = name.span();
        if let Err(text) = check_name(name.get_ref()) {
            self.note(at.clone(), text);
        }
        let own = match Table::of(value) {
            Ok(own) => own,
            Err(wrong) => {
                self.wrong.push(wrong);
                return None;
            }
        };
        let known: Vec<_> = settings().collect();
        own.nothing_else(&known, &mut self.wrong);
        let mut pipe = Pipe {
            reader: self,
            own,
            name: name.into_inner(),
            at: at.clone(),
        };
        let settings = pipe.settings()?;
        Some(Spanned::new(at, settings))
    }

    /// Once: what pipes share may be wrong for many of them.
    fn note(&mut self, at: Range<usize>, text: String) {
        let wrong = Wrong { at, text };
        if !self.wrong.contains(&wrong) {
            self.wrong.push(wrong);
        }
    }
}

/// What a pipe can have.
fn settings() -> impl Iterator<Item = &'static str> {
    MORE.into_iter().chain(PIPE_OPTIONS)
}

/// Names stand in logs, in metrics and on command lines.
fn check_name(name: &str) -> Result<(), String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match name.len() {
        1..=NAME_MAX if name.bytes().all(good) => Ok(()),
        _ => Err(format!(
            "a pipe's name is 1 to {NAME_MAX} letters, digits, '-', '_' and '.', which {name:?} is not"
        )),
    }
}

/// One that is being read.
struct Pipe<'r, 'i, 'a> {
    reader: &'r mut Reader<'i, 'a>,
    own: Table<'i>,
    name: String,
    at: Range<usize>,
}

impl<'i> Pipe<'_, 'i, '_> {
    /// All of it is read even if something is wrong, so that all that is wrong is noted.
    fn settings(&mut self) -> Option<PipeConfig> {
        let mode = self.needed("mode", |value| match text(value)?.as_str() {
            "encrypt" => Ok(Mode::Encrypt),
            "decrypt" => Ok(Mode::Decrypt),
            other => Err(format!("{other:?} is neither \"encrypt\" nor \"decrypt\"")),
        });
        let source = self.needed("source", parsed);
        let targets: Option<Vec<TargetAddress>> = self.needed("target", several);
        let balance = self.optional("balance", |value| match text(value)?.as_str() {
            "order" => Ok(Balance::Order),
            "round-robin" => Ok(Balance::RoundRobin),
            other => Err(format!(
                "{other:?} is neither \"order\" nor \"round-robin\""
            )),
        });
        let key = self.key(mode);
        let bind = self.optional("bind", parsed);
        let forward_secrecy = self.forward_secrecy();
        let timeout = self.optional("timeout", |value| seconds(value, number::TIMEOUT));
        let idle = self.optional("idle", |value| seconds(value, number::NO_TIME));
        let resolve_interval = self.resolve_interval();
        let max_connections = self.optional("max-connections", count);
        let max_connections_per_client = self.optional("max-connections-per-client", count);
        let max_unproved = self.optional("max-unproved", count);
        let proxy_protocol = self.optional("proxy-protocol", |value| match text(value)?.as_str() {
            "v1" => Ok(Version::V1),
            "v2" => Ok(Version::V2),
            other => Err(format!("{other:?} is neither \"v1\" nor \"v2\"")),
        });
        let accept_proxy = self.accept_proxy(source.as_ref());
        let max_unproved_per_source = self.optional("max-unproved-per-source", count);
        let connection = ConnectionConfig {
            forward_secrecy,
            proxy_protocol,
            accept_proxy,
            keepalive: !self.flag("no-keepalive"),
            max_connections: max_connections.unwrap_or(Some(number::MAX_CONNECTIONS)),
            max_connections_per_client: max_connections_per_client.unwrap_or(None),
            max_unproved: max_unproved.unwrap_or(Some(number::MAX_UNPROVED)),
            max_unproved_per_source: max_unproved_per_source.unwrap_or(None),
            timeout: timeout.unwrap_or(number::TIMEOUT),
            idle: idle.filter(|idle| *idle != number::NO_TIME),
            resolve_interval,
        };
        Some(PipeConfig {
            name: self.name.as_str().into(),
            mode: mode?,
            source: source?,
            targets: targets?.into_iter().map(Address::from).collect(),
            balance: balance.unwrap_or_default(),
            key: key?,
            bind,
            connection,
        })
    }

    fn key(&mut self, mode: Option<Mode>) -> Option<KeysSource> {
        let at = self.value("key").map(|value| value.span());
        let folder = self.reader.folder.to_owned();
        let key = self.needed("key", |value| {
            let given: Vec<String> = several(value)?;
            if given.iter().any(String::is_empty) {
                return Err("the path of the key file is empty".to_owned());
            }
            let mut paths = given.iter().map(|given| folder.join(given));
            Ok(match (value, paths.next()) {
                (DeValue::String(_), Some(path)) => KeySource::File(path).into(),
                (_, first) => KeysSource::Clients(first.into_iter().chain(paths).collect()),
            })
        })?;
        if self.reader.keys == KeyFiles::Try
            && let Some(mode) = mode
            && let Err(error) = Keys::read(&key, mode.into())
        {
            self.reader
                .note(at.unwrap_or_default(), format!("key: {error}"));
        }
        Some(key)
    }

    fn accept_proxy(&mut self, source: Option<&Address>) -> Vec<Network> {
        let name = self.name.clone();
        let networks = self.optional("accept-proxy", |value| {
            let networks = several(value)?;
            match source.map(|source| network::check(&networks, source)) {
                Some(Err(error)) => Err(format!("{error} ({})", Name(&name))),
                _ => Ok(networks),
            }
        });
        networks.unwrap_or_default()
    }

    fn forward_secrecy(&mut self) -> ForwardSecrecy {
        match (self.flag("fast"), self.flag("require-forward-secrecy")) {
            (false, false) => ForwardSecrecy::Enabled,
            (true, false) => ForwardSecrecy::Disabled,
            (false, true) => ForwardSecrecy::Required,
            (true, true) => {
                self.exclude("fast", "require-forward-secrecy");
                ForwardSecrecy::Enabled
            }
        }
    }

    fn resolve_interval(&mut self) -> Option<Duration> {
        let interval = self.optional("resolve-interval", |value| {
            seconds(value, number::RESOLVE_INTERVAL)
        });
        match (self.flag("no-resolve"), interval) {
            (false, interval) => Some(interval.unwrap_or(number::RESOLVE_INTERVAL)),
            (true, None) => None,
            (true, Some(_)) => {
                self.exclude("no-resolve", "resolve-interval");
                None
            }
        }
    }

    fn exclude(&mut self, one: &str, other: &str) {
        let text = format!("{}: {one} and {other} exclude each other", Name(&self.name));
        self.reader.note(self.at.clone(), text);
    }

    /// The pipe's own, or what pipes share.
    fn value(&self, name: &str) -> Option<Value<'i>> {
        let own = self.own.copy(name);
        own.or_else(|| match OWN.contains(&name) {
            true => None,
            false => self.reader.defaults.copy(name),
        })
    }

    fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.value(name)?;
        let at = value.span();
        match read(value.get_ref()) {
            Ok(value) => Some(value),
            Err(text) => {
                self.reader.note(at, format!("{name}: {text}"));
                None
            }
        }
    }

    fn needed<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<T> {
        if self.value(name).is_none() {
            let text = format!("{} has no {name}", Name(&self.name));
            self.reader.note(self.at.clone(), text);
        }
        self.optional(name, read)
    }

    fn flag(&mut self, name: &str) -> bool {
        let flag = self.optional(name, |value| match value {
            DeValue::Boolean(flag) => Ok(*flag),
            other => Err(format!("true or false is needed, not {}", article(other))),
        });
        flag.unwrap_or_default()
    }
}

fn text(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        other => Err(format!("a string is needed, not {}", article(other))),
    }
}

fn parsed<T: FromStr<Err: Display>>(value: &DeValue<'_>) -> Result<T, String> {
    text(value)?
        .parse()
        .map_err(|error: T::Err| error.to_string())
}

/// One, or an array of several.
fn several<T>(value: &DeValue<'_>) -> Result<Vec<T>, String>
where
    T: FromStr<Err: Display> + Display + Hash + Eq + Clone,
{
    let given = match value {
        DeValue::Array(given) => given,
        DeValue::String(_) => return Ok(vec![parsed(value)?]),
        other => {
            let other = article(other);
            return Err(format!(
                "a string or an array of strings is needed, not {other}"
            ));
        }
    };
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    for one in given {
        let one: T = parsed(one.get_ref())?;
        if !seen.insert(one.clone()) {
            return Err(format!("{one} is there twice"));
        }
        all.push(one);
    }
    match all.is_empty() {
        true => Err("there is nothing in it".to_owned()),
        false => Ok(all),
    }
}

fn count(value: &DeValue<'_>) -> Result<Option<NonZeroU64>, String> {
    match value {
        // The command line's own octal and hexadecimal numbers are written otherwise.
        DeValue::Integer(count) if count.radix() == 10 => number::count(count.as_str()),
        DeValue::Integer(count) => match u64::from_str_radix(count.as_str(), count.radix()) {
            Ok(count) => Ok(NonZeroU64::new(count)),
            Err(_) => Err(format!("{count} is too large")),
        },
        other => Err(format!("a whole number is needed, not {}", article(other))),
    }
}

fn seconds(value: &DeValue<'_>, default: Duration) -> Result<Duration, String> {
    match value {
        DeValue::Integer(seconds) if seconds.radix() == 10 => {
            number::seconds(seconds.as_str(), default)
        }
        DeValue::Float(seconds) => number::seconds(seconds.as_str(), default),
        other => Err(format!(
            "a number of seconds is needed, not {}",
            article(other)
        )),
    }
}
