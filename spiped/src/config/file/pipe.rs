//! Reads one pipe of a file: from its own table, and from `[defaults]` for settings that it lacks.

use std::collections::HashSet;
use std::fmt::Display;
use std::hash::Hash;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use spiped_tokio::{Address, BindAddress, TargetAddress};
use toml::Spanned;
use toml::de::DeValue;

use super::table::{Table, Value, article};
use super::{KeyFiles, Name, Wrong};
use crate::config::network::Networks;
use crate::config::options::{
    Exclusive, HandshakeOptions, Keepalive, ResolveOptions, pipe_settings,
};
use crate::config::settings::{ConnectionConfig, PipeConfig};
use crate::config::values::{Limit, Mode, Seconds};
use crate::keys::keyfile::KeySource;
use crate::keys::{Keys, KeysSource};

/// The settings that have no option of the same name: `-e` and `-d` are `mode`, and `balance` is for files
/// alone.
const MORE: [&str; 2] = ["mode", "balance"];
/// The settings that `[defaults]` cannot have.
const OWN: [&str; 1] = ["source"];
/// The longest name of a pipe, in bytes.
const NAME_MAX: usize = 64;

/// Reads pipes, and collects the mistakes in them.
pub(super) struct Reader<'i, 'a> {
    pub(super) defaults: Table<'i>,
    pub(super) folder: &'a Path,
    pub(super) keys: KeyFiles,
    pub(super) wrong: Vec<Wrong>,
}

impl<'i> Reader<'i, '_> {
    /// Notes the settings in `[defaults]` that it cannot have.
    pub(super) fn check_defaults(&mut self) {
        let shared: Vec<_> = settings()
            .filter(|name| !OWN.contains(&name.as_str()))
            .collect();
        self.defaults.nothing_else(&shared, &mut self.wrong);
    }

    /// Reads the pipe `name` from its table `value`, and notes its mistakes. Returns `None` if a setting that
    /// a pipe needs is missing or wrong.
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

    /// Notes a mistake, unless it was noted already: many pipes may share one from `[defaults]`.
    fn note(&mut self, at: Range<usize>, text: String) {
        let wrong = Wrong { at, text };
        if !self.wrong.contains(&wrong) {
            self.wrong.push(wrong);
        }
    }
}

/// The names of all settings that a pipe can have.
fn settings() -> impl Iterator<Item = String> {
    let more = MORE.into_iter().map(str::to_owned);
    more.chain(pipe_settings())
}

/// Checks the name of a pipe, which has to be fit for log lines, metrics and command lines.
fn check_name(name: &str) -> Result<(), String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    match name.len() {
        1..=NAME_MAX if name.bytes().all(good) => Ok(()),
        _ => Err(format!(
            "a pipe's name is 1 to {NAME_MAX} letters, digits, '-', '_' and '.', which {name:?} is not"
        )),
    }
}

/// A pipe that is being read.
struct Pipe<'r, 'i, 'a> {
    reader: &'r mut Reader<'i, 'a>,
    own: Table<'i>,
    name: String,
    at: Range<usize>,
}

impl<'i> Pipe<'_, 'i, '_> {
    /// Reads all settings, even after a mistake, so that every mistake is noted.
    fn settings(&mut self) -> Option<PipeConfig> {
        let mode = self.needed("mode", parsed);
        let source = self.needed("source", parsed);
        let targets: Option<Vec<TargetAddress>> = self.needed("target", several);
        let balance = self.optional("balance", parsed);
        let key = self.key(mode);
        let bind: Option<BindAddress> = self.optional("bind", parsed);
        self.check_service("source", source.as_ref());
        for target in targets.iter().flatten() {
            self.check_service("target", Some(target.address()));
        }
        self.check_service("bind", bind.as_ref().map(BindAddress::address));
        let handshake = HandshakeOptions {
            fast: self.flag("fast"),
            require_forward_secrecy: self.flag("require-forward-secrecy"),
            protocol: self.optional("protocol", whole),
            timeout: self.optional("timeout", seconds).unwrap_or_default(),
        };
        let resolve = ResolveOptions {
            resolve_interval: self.optional("resolve-interval", seconds),
            no_resolve: self.flag("no-resolve"),
        };
        let handshake_config = self.either(handshake.config());
        let resolve_interval = self.either(resolve.interval());
        let connection = ConnectionConfig {
            timeout: handshake.timeout,
            max_connections: self.limit("max-connections"),
            max_connections_per_client: self.limit("max-connections-per-client"),
            max_unproved: self.limit("max-unproved"),
            max_unproved_per_source: self.limit("max-unproved-per-source"),
            idle: self.optional("idle", seconds).unwrap_or_default(),
            keepalive: Keepalive {
                on: !self.flag("no-keepalive"),
            },
            proxy_protocol: self.optional("proxy-protocol", parsed),
            accept_proxy: self.accept_proxy(source.as_ref()),
            handshake: handshake_config?,
            resolve_interval: resolve_interval?,
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

    /// Notes a service that this machine does not know. Only a check does: a start or a reload finds out when
    /// it looks the whole address up.
    fn check_service(&mut self, name: &str, address: Option<&Address>) {
        if self.reader.keys == KeyFiles::Try
            && let Some(Err(error)) = address.map(Address::check_service)
        {
            let at = self.value(name).map(|value| value.span());
            self.reader
                .note(at.unwrap_or_default(), format!("{name}: {error}"));
        }
    }

    fn accept_proxy(&mut self, source: Option<&Address>) -> Option<Networks> {
        let name = self.name.clone();
        self.optional("accept-proxy", |value| {
            let networks: Networks = several(value)?.into_iter().collect();
            match source.map(|source| networks.check(source)) {
                Some(Err(error)) => Err(format!("{error} ({})", Name(&name))),
                _ => Ok(networks),
            }
        })
    }

    /// Notes two settings that exclude each other.
    fn either<T>(&mut self, choice: Result<T, Exclusive>) -> Option<T> {
        choice
            .map_err(|Exclusive(one, other)| {
                let text = format!("{}: {one} and {other} exclude each other", Name(&self.name));
                self.reader.note(self.at.clone(), text);
            })
            .ok()
    }

    /// Returns the value of a setting: the pipe's own, or else that of `[defaults]`.
    fn value(&self, name: &str) -> Option<Value<'i>> {
        let own = self.own.copy(name);
        own.or_else(|| match OWN.contains(&name) {
            true => None,
            false => self.reader.defaults.copy(name),
        })
    }

    /// Reads a setting if there is one; notes a mistake in its value.
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

    /// Reads a setting that every pipe has to have.
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

    fn limit<const DEFAULT: u64>(&mut self, name: &str) -> Limit<DEFAULT> {
        self.optional(name, whole).unwrap_or_default()
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

/// Reads a string, or an array of strings none of which is there twice.
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

fn whole<T: FromStr<Err = String>>(value: &DeValue<'_>) -> Result<T, String> {
    match value {
        // On a command line a negative number is no limit, as in C spiped; in a file it is a mistake.
        DeValue::Integer(count) if count.as_str().starts_with('-') => {
            Err(format!("{count} is negative; 0 is no limit"))
        }
        // Other radixes are written otherwise in TOML (0o10) than on a command line (010), and are
        // converted below.
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse(),
        DeValue::Integer(number) => match u64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => number.to_string().parse(),
            Err(_) => Err(format!("{number} is too large")),
        },
        other => Err(format!("a whole number is needed, not {}", article(other))),
    }
}

fn seconds<const DEFAULT: u64>(value: &DeValue<'_>) -> Result<Seconds<DEFAULT>, String> {
    match value {
        DeValue::Integer(seconds) if seconds.radix() == 10 => seconds.as_str().parse(),
        DeValue::Float(seconds) => seconds.as_str().parse(),
        other => Err(format!(
            "a number of seconds is needed, not {}",
            article(other)
        )),
    }
}
