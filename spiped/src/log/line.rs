//! A line of the log, before it is written.

use std::fmt;
use std::time::SystemTime;

use super::fields::Fields;
use super::limit::Class;
use super::text::{bounded, sanitized};
use super::{Level, shows_pipes};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) time: SystemTime,
    pub(super) level: Level,
    pub(super) class: Class,
    /// The text as it was given, cut after [`TEXT_MAX`](super::text::TEXT_MAX) bytes.
    pub(super) message: String,
    pub(super) fields: Fields,
}

impl Line {
    pub(super) fn new(
        level: Level,
        class: Class,
        message: fmt::Arguments<'_>,
        fields: impl FnOnce(&mut Fields),
    ) -> Self {
        let mut noted = Fields::default();
        fields(&mut noted);
        Self {
            time: SystemTime::now(),
            level,
            class,
            message: bounded(message),
            fields: noted,
        }
    }

    /// Returns the text for people: no control characters, and begun with the name of the pipe where
    /// the process has several.
    pub(super) fn text(&self) -> String {
        match self.fields.find_text("pipe") {
            Some(pipe) if shows_pipes() => sanitized(&format!("{pipe}: {}", self.message)),
            _ => sanitized(&self.message),
        }
    }
}
