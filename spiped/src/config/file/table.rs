//! A table of a file, and the mistakes in the names of its entries.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Wrong;

/// A table, without the entries that were taken out.
pub(super) struct Table<'i> {
    entries: DeTable<'i>,
}

/// A value, and where it stands.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

impl<'i> Table<'i> {
    pub(super) fn new(entries: DeTable<'i>) -> Self {
        Self { entries }
    }

    /// Makes a table of a value that has to be one.
    pub(super) fn of(value: Value<'i>) -> Result<Self, Wrong> {
        let at = value.span();
        match value.into_inner() {
            DeValue::Table(entries) => Ok(Self { entries }),
            other => Err(Wrong {
                at,
                text: format!("a table is needed here, not {}", article(&other)),
            }),
        }
    }

    /// Takes an entry out.
    pub(super) fn take(&mut self, name: &str) -> Option<Value<'i>> {
        self.entries.remove(name)
    }

    /// Returns a copy of an entry.
    pub(super) fn copy(&self, name: &str) -> Option<Value<'i>> {
        self.entries.get(name).cloned()
    }

    /// Takes out an entry that has to be a table.
    pub(super) fn table(&mut self, name: &str, wrong: &mut Vec<Wrong>) -> Option<Self> {
        Self::of(self.take(name)?)
            .map_err(|error| wrong.push(error))
            .ok()
    }

    /// Returns all entries: each name with its place, and its value.
    pub(super) fn tables(self) -> Vec<(Spanned<String>, Value<'i>)> {
        let entries = self.entries.into_iter();
        let named = entries.map(|(name, value)| {
            let at = name.span();
            (Spanned::new(at, name.into_inner().into_owned()), value)
        });
        named.collect()
    }

    /// Adds a mistake to `wrong` for each entry whose name is not among `known`.
    pub(super) fn nothing_else(&self, known: &[impl AsRef<str>], wrong: &mut Vec<Wrong>) {
        for name in self.entries.keys() {
            let given: &str = name.get_ref();
            let known = known.iter().map(AsRef::as_ref);
            let near = known.map(|known| (distance(given, known), known)).min();
            let suggestion = match near {
                Some((0, _)) => continue,
                Some((1..=2, known)) => format!(" (did you mean {known}?)"),
                _ => String::new(),
            };
            wrong.push(Wrong {
                at: name.span(),
                text: format!("unknown setting {given:?}{suggestion}"),
            });
        }
    }
}

/// Returns the type of a value with its article, as in "an integer".
pub(super) fn article(value: &DeValue<'_>) -> String {
    let kind = value.type_str();
    match kind {
        "array" | "integer" => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}

/// Returns the number of characters to insert, delete or replace to get from one word to the other
/// (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, from) in from.chars().enumerate() {
        let mut diagonal = above;
        let mut left = above + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&to) {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = *cell;
            left = replaced.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        row[0] = above + 1;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_mistyped_are_near() {
        for (from, to, apart) in [
            ("", "", 0),
            ("key", "key", 0),
            ("kye", "key", 2),
            ("targe", "target", 1),
            ("sourcee", "source", 1),
            ("", "bind", 4),
        ] {
            assert_eq!(distance(from, to), apart, "{from} {to}");
        }
    }
}
