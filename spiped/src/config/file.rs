//! The file that describes many pipes (`--config`), in TOML (<https://toml.io>, version 1.0).
//!
//! `[pipe.NAME]` is a pipe; `[defaults]` holds what pipes have in common. A setting is called as the
//! long option of the command line that it stands for, and takes the same values. Relative paths
//! start from the folder that the file is in.

pub(crate) mod mistakes;
mod pipe;
mod table;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeTable;

use crate::config::settings::PipeConfig;
use crate::config::sources::Sources;
use mistakes::Wrong;
pub use mistakes::{ConfigError, Mistake};
use table::Table;

/// The longest file that is read, in bytes. A longer one is probably the wrong file.
const LENGTH_MAX: u64 = 16 * 1024 * 1024;

/// Whether key files are read when the configuration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFiles {
    /// They are read, and one that cannot be is a mistake in the file.
    Try,
    /// They are not read here; the caller reads them later.
    Leave,
}

/// Reads the pipes of a configuration file.
///
/// # Errors
///
/// The file cannot be read, or has mistakes: all of them are returned.
pub fn read(file: &Path, keys: KeyFiles) -> Result<Vec<PipeConfig>, ConfigError> {
    let text = read_text(file).map_err(|error| ConfigError::Read {
        file: file.to_owned(),
        error,
    })?;
    let folder = file.parent().unwrap_or(Path::new(""));
    parse(&text, folder, keys)
        .map_err(|wrong| ConfigError::Mistakes(mistakes::find(file, &text, wrong)))
}

fn read_text(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let length = File::open(file)?
        .take(LENGTH_MAX + 1)
        .read_to_string(&mut text)? as u64;
    if length > LENGTH_MAX {
        return Err(io::Error::other("it is longer than 16 MiB"));
    }
    Ok(text)
}

fn parse(text: &str, folder: &Path, keys: KeyFiles) -> Result<Vec<PipeConfig>, Vec<Wrong>> {
    let (file, errors) = DeTable::parse_recoverable(text);
    let wrong: Vec<_> = errors
        .into_iter()
        .map(|error| Wrong {
            at: error.span().unwrap_or_default(),
            text: error.message().to_owned(),
        })
        .collect();
    // After a syntax error, further mistakes would be guesses.
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let mut wrong = Vec::new();
    let mut root = Table::new(file.into_inner());
    let defaults = root.table("defaults", &mut wrong);
    let pipes = root.table("pipe", &mut wrong);
    root.nothing_else(&["defaults", "pipe"], &mut wrong);
    let mut reader = pipe::Reader {
        defaults: defaults.unwrap_or_else(|| Table::new(DeTable::new())),
        folder,
        keys,
        wrong,
    };
    reader.check_defaults();
    let mut found: Vec<_> = pipes
        .map(Table::tables)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|(name, value)| reader.pipe(name, value))
        .collect();
    found.sort_by_key(|pipe| pipe.span().start);
    let mut wrong = reader.wrong;
    wrong.extend(shared_sources(&found, keys));
    match (found.is_empty(), wrong.is_empty()) {
        (_, false) => Err(wrong),
        (true, true) => Err(vec![Wrong {
            at: text.len()..text.len(),
            text: "there is no pipe: write [pipe.NAME]".to_owned(),
        }]),
        (false, true) => Ok(found.into_iter().map(Spanned::into_inner).collect()),
    }
}

/// Returns a mistake for each pipe that cannot listen at its source because an earlier pipe does. Names are
/// looked up only if key files are read too; otherwise binding finds out.
fn shared_sources(pipes: &[Spanned<PipeConfig>], keys: KeyFiles) -> Vec<Wrong> {
    let mut first = HashMap::new();
    let mut taken = Sources::new();
    let mut shared = |pipe: &Spanned<PipeConfig>| {
        let PipeConfig { name, source, .. } = pipe.get_ref();
        if let Some(other) = first.insert(source.clone(), Arc::clone(name)) {
            return Some(format!("{} has the source {source} too", Name(&other)));
        }
        if source.is_name() && keys == KeyFiles::Leave {
            return None;
        }
        // Only the first endpoint of a name is listened at.
        let endpoint = source.resolve_blocking().ok()?.into_iter().next()?;
        let other = (Arc::clone(name), source.clone());
        let (other, there) = taken.add(&endpoint, other)?;
        Some(format!(
            "{source} cannot be listened at beside {there}, the source of {}",
            Name(&other)
        ))
    };
    let wrong = |pipe| {
        shared(pipe).map(|text| Wrong {
            at: pipe.span(),
            text,
        })
    };
    pipes.iter().filter_map(wrong).collect()
}

/// A pipe's name in a text.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pipe.{}", self.0)
    }
}

#[cfg(test)]
mod tests;
