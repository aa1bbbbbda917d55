//! The mistakes in a configuration file, each with its place.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::os::sandbox::file_error;

/// The most mistakes that are told one by one. A file with more is probably the wrong file.
const TOLD_MAX: usize = 100;

/// A mistake in the text of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The place in the text, in bytes.
    pub(super) at: Range<usize>,
    pub(super) text: String,
}

/// A mistake, with its line and column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    file: PathBuf,
    line: usize,
    column: usize,
    text: String,
}

/// Writes `file:line:column: text`, as compilers do. Lines and columns, in characters, count from 1.
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            text,
        } = self;
        write!(f, "{}:{line}:{column}: {text}", file.display())
    }
}

/// The error of a file that describes no pipes that could run.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {}", .file.display(), file_error(.file, .error))]
    Read {
        /// The file.
        file: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The file has mistakes.
    #[error("{}", several(.0))]
    Mistakes(Vec<Mistake>),
}

impl ConfigError {
    /// Returns a line for each mistake, or for the first hundred and one for the number of others.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Read { .. } => vec![self.to_string()],
            Self::Mistakes(mistakes) => lines(mistakes),
        }
    }
}

fn several(mistakes: &[Mistake]) -> String {
    match mistakes {
        [] => "no mistake".to_owned(),
        [only] => only.to_string(),
        [first, others @ ..] => format!("{first} (and {} more)", others.len()),
    }
}

/// Returns the mistakes in the order of the text, none of them twice: the parser says the same of each
/// bracket that is open at the end.
pub(super) fn find(file: &Path, text: &str, mut wrong: Vec<Wrong>) -> Vec<Mistake> {
    wrong.sort_by_key(|wrong| wrong.at.start);
    let mut mistakes: Vec<Mistake> = Vec::new();
    let (mut line, mut column, mut rest) = (1, 1, text);
    for Wrong { at, text: reason } in wrong {
        let passed = at.start.saturating_sub(text.len() - rest.len());
        let (before, behind) = rest.split_at_checked(passed).unwrap_or((rest, ""));
        for character in before.chars() {
            (line, column) = match character {
                '\n' => (line + 1, 1),
                _ => (line, column + 1),
            };
        }
        rest = behind;
        let here = mistakes.iter().rev();
        let mut here = here.take_while(|mistake| (mistake.line, mistake.column) == (line, column));
        if !here.any(|mistake| mistake.text == reason) {
            mistakes.push(Mistake {
                file: file.to_owned(),
                line,
                column,
                text: reason,
            });
        }
    }
    mistakes
}

/// Returns a line for each mistake, up to a hundred.
fn lines(mistakes: &[Mistake]) -> Vec<String> {
    let (told, more) = mistakes
        .split_at_checked(TOLD_MAX)
        .unwrap_or((mistakes, &[]));
    let more = more.first().map(|next| {
        let file = next.file.display();
        format!("{file}: {} mistakes more", more.len())
    });
    told.iter().map(ToString::to_string).chain(more).collect()
}
