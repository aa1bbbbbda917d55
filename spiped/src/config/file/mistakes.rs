//! What is wrong with a file, and where.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// More are not told one by one. Whoever has so many has named the wrong file.
const TOLD_MAX: usize = 100;

/// A mistake in the text at hand.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Its bytes.
    pub(super) at: Range<usize>,
    pub(super) text: String,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    file: PathBuf,
    line: usize,
    column: usize,
    text: String,
}

/// As compilers have it: `file:line:column: text`, with lines and columns, in characters, from 1.
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

/// In the order of the text; none of them twice, though the parser says the same of each bracket that
/// is open at the end.
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

/// A line for each, up to a hundred.
pub(super) fn lines(mistakes: &[Mistake]) -> Vec<String> {
    let (told, more) = mistakes
        .split_at_checked(TOLD_MAX)
        .unwrap_or((mistakes, &[]));
    let more = more.first().map(|next| {
        let file = next.file.display();
        format!("{file}: {} mistakes more", more.len())
    });
    told.iter().map(ToString::to_string).chain(more).collect()
}
