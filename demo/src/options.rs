//! The command line.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Arg, Command, Error, value_parser};

/// Data to send when `--size` is not given, in MiB.
const SIZE: NonZeroU32 = NonZeroU32::new(512).unwrap();

/// What the demo is to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// How much data goes through the tunnel and back, in MiB.
    pub(crate) size: NonZeroU32,
    /// The program to show, in place of the one that is built.
    pub(crate) spiped: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments, the program's name included. The help is an error too.
    pub(crate) fn parse<A: Into<std::ffi::OsString> + Clone>(
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self, Error> {
        let mut matches = command().try_get_matches_from(arguments)?;
        Ok(Self {
            size: matches.remove_one("size").unwrap_or(SIZE),
            spiped: matches.remove_one("spiped"),
        })
    }
}

fn command() -> Command {
    Command::new("spiped-demo")
        .about("Shows a whole tunnel at work on this machine")
        .long_about(
            "Shows a whole tunnel at work on this machine: makes a key, starts a target and both \
             ends, sends data through them and back, checks it, and tells what happened. It \
             leaves nothing behind.",
        )
        .max_term_width(79)
        .args([
            Arg::new("size")
                .long("size")
                .value_name("MIB")
                .value_parser(|given: &str| {
                    let most = NonZeroU32::MAX;
                    let parsed = given.parse::<NonZeroU32>();
                    parsed.map_err(|_| format!("{given:?} is not a whole number from 1 to {most}"))
                })
                .help(format!(
                    "Data to send through and back, in MiB [default: {SIZE}]"
                )),
            Arg::new("spiped")
                .long("spiped")
                .value_name("PATH")
                .value_parser(value_parser!(PathBuf))
                .help(
                    "The spiped to show [default: the one beside this program, built anew under \
                     cargo run]",
                ),
        ])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::error::ErrorKind;

    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Options, Error> {
        Options::parse([&["spiped-demo"], arguments].concat())
    }

    fn size(arguments: &[&str]) -> u32 {
        parsed(arguments).unwrap().size.get()
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn the_size_is_512_mib_unless_told() {
        assert_eq!(size(&[]), 512);
        assert_eq!(size(&["--size", "3"]), 3);
        assert_eq!(size(&["--size=3"]), 3);
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for given in ["0", "-1", "1.5", "x", "", "4294967296"] {
            let error = parsed(&[&format!("--size={given}")]).unwrap_err();
            assert!(error.use_stderr());
            let reason = format!("{given:?} is not a whole number from 1 to 4294967295");
            assert!(
                error.to_string().contains(&reason) || given.is_empty(),
                "{error}"
            );
        }
        assert!(parsed(&["stray"]).unwrap_err().use_stderr());
    }

    #[test]
    fn the_help_fits_a_terminal() {
        let help = parsed(&["--help"]).unwrap_err();
        assert_eq!(help.kind(), ErrorKind::DisplayHelp);
        for line in help.to_string().lines() {
            assert!(line.chars().count() < 80, "too wide: {line}");
        }
    }
}
