//! Reads arguments in the order in which C's `getopt` does, so that of several mistakes the same one is
//! told.
//!
//! `-v` ends the command line where it stands: a mistake before it is told, one after it is not. `-o=5`
//! has the value `=5`; a value may look like an option; the first operand ends the options. The arguments
//! come out as `--long` or `--long=value`, which clap can read in one way only.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::{Arg, ArgAction, Command};

/// An argument that ends the command line where it stands: nothing after it is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    Help,
    Version,
    UnknownShort(char),
    Operand(OsString),
}

/// Spells `args` with long names, up to the argument that ends them, which is returned beside them. From a
/// subcommand or an unknown long option on, arguments stay as they are: clap reads or refuses them.
pub(super) fn ordered(
    command: &Command,
    args: impl IntoIterator<Item = OsString>,
) -> (Vec<OsString>, Option<End>) {
    let mut reader = Reader {
        command,
        spelled: Vec::new(),
        rest: args.into_iter(),
    };
    while let Some(given) = reader.rest.next() {
        match reader.take(&given) {
            Taken::Yes => {}
            Taken::NotMine => {
                reader.spelled.push(given);
                reader.spelled.extend(reader.rest);
                break;
            }
            Taken::Ends(end) => return (reader.spelled, Some(end)),
        }
    }
    (reader.spelled, None)
}

/// The arguments while they are read.
struct Reader<'a, I> {
    command: &'a Command,
    spelled: Vec<OsString>,
    rest: I,
}

/// What became of an argument.
enum Taken {
    /// It was spelled with its long name.
    Yes,
    /// It is for clap, like all arguments after it.
    NotMine,
    /// It ends the command line.
    Ends(End),
}

impl<I: Iterator<Item = OsString>> Reader<'_, I> {
    fn take(&mut self, given: &OsStr) -> Taken {
        match given.as_bytes() {
            b"--" => match self.rest.next() {
                Some(operand) => Taken::Ends(End::Operand(operand)),
                None => Taken::Yes,
            },
            [b'-', b'-', long @ ..] => self.take_long(long),
            [b'-', cluster @ ..] if !cluster.is_empty() => self.take_cluster(cluster),
            // C spiped has no operands, so a subcommand is one only as the very first argument.
            _ if self.spelled.is_empty() && self.command.find_subcommand(given).is_some() => {
                Taken::NotMine
            }
            _ => Taken::Ends(End::Operand(given.to_owned())),
        }
    }

    fn take_long(&mut self, long: &[u8]) -> Taken {
        let (name, value) = match long.iter().position(|byte| *byte == b'=') {
            Some(at) => (&long[..at], Some(OsStr::from_bytes(&long[at + 1..]))),
            None => (long, None),
        };
        let mut args = self.command.get_arguments();
        let Some(arg) = args.find(|arg| arg.get_long().map(str::as_bytes) == Some(name)) else {
            return Taken::NotMine;
        };
        match value {
            Some(value) if arg.get_action().takes_values() => self.spell(arg, Some(value.into())),
            Some(_) => Taken::NotMine,
            None => self.take_arg(arg, None),
        }
    }

    fn take_cluster(&mut self, mut cluster: &[u8]) -> Taken {
        while let [short, attached @ ..] = cluster {
            let short = char::from(*short);
            let mut args = self.command.get_arguments();
            let Some(arg) = args.find(|arg| arg.get_short() == Some(short)) else {
                let unknown = String::from_utf8_lossy(cluster).chars().next();
                return Taken::Ends(End::UnknownShort(unknown.unwrap_or(short)));
            };
            let takes_values = arg.get_action().takes_values();
            let value = (takes_values && !attached.is_empty()).then(|| OsStr::from_bytes(attached));
            match self.take_arg(arg, value) {
                Taken::Yes if takes_values => return Taken::Yes,
                Taken::Yes => cluster = attached,
                other => return other,
            }
        }
        Taken::Yes
    }

    fn take_arg(&mut self, arg: &Arg, attached: Option<&OsStr>) -> Taken {
        match arg.get_action() {
            ArgAction::Help => Taken::Ends(End::Help),
            ArgAction::Version => Taken::Ends(End::Version),
            action if action.takes_values() => {
                let value = attached.map(OsStr::to_owned).or_else(|| self.rest.next());
                self.spell(arg, value)
            }
            _ => self.spell(arg, None),
        }
    }

    /// Adds an option by its long name. If its value is missing, clap refuses it.
    fn spell(&mut self, arg: &Arg, value: Option<OsString>) -> Taken {
        let mut spelled = OsString::from("--");
        spelled.push(arg.get_long().unwrap_or_default());
        if let Some(value) = value {
            spelled.push("=");
            spelled.push(value);
        }
        self.spelled.push(spelled);
        Taken::Yes
    }
}

#[cfg(test)]
mod tests {
    use super::super::spiped_command;
    use super::*;

    fn spelled(line: &[&str]) -> (Vec<String>, Option<End>) {
        let (args, end) = ordered(&spiped_command(), line.iter().map(OsString::from));
        let args = args.into_iter().map(|arg| arg.into_string().unwrap());
        (args.collect(), end)
    }

    #[test]
    fn every_spelling_of_an_option_comes_out_the_same() {
        for line in [
            &["-dFk/key"][..],
            &["-dFk", "/key"],
            &["-d", "-F", "-k/key"],
            &["--decrypt", "--foreground", "--key", "/key"],
            &["-d", "--foreground", "--key=/key"],
        ] {
            let expected = ["--decrypt", "--foreground", "--key=/key"];
            assert_eq!(spelled(line), (expected.map(str::to_owned).into(), None));
        }
    }

    #[test]
    fn a_value_may_look_like_anything() {
        for value in ["", "-", "--", "-v", "--help", "=5", "keygen", "a=b"] {
            let expected = (vec![format!("--key={value}")], None);
            assert_eq!(spelled(&["-k", value]), expected);
            assert_eq!(spelled(&["--key", value]), expected);
            assert_eq!(spelled(&[&format!("--key={value}")]), expected);
            if !value.is_empty() {
                assert_eq!(spelled(&[&format!("-k{value}")]), expected);
            }
        }
        assert_eq!(spelled(&["-k"]), (vec!["--key".to_owned()], None));
    }

    #[test]
    fn what_ends_the_line_ends_it_where_it_stands() {
        let encrypt = || vec!["--encrypt".to_owned()];
        for (line, end) in [
            (&["-ev", "-x"][..], End::Version),
            (&["-e", "--version", "stray"], End::Version),
            (&["-e", "--help", "-v"], End::Help),
            (&["-exv"], End::UnknownShort('x')),
            (&["-e-v"], End::UnknownShort('-')),
            (&["-eé"], End::UnknownShort('é')),
        ] {
            assert_eq!(spelled(line), (encrypt(), Some(end)));
        }
    }

    #[test]
    fn an_operand_ends_the_line() {
        for operand in ["stray", "-", "", "keygen"] {
            let ended = Some(End::Operand(operand.into()));
            assert_eq!(spelled(&["-e", operand, "-v"]).1, ended);
            assert_eq!(spelled(&["--", operand, "-v"]).1, ended);
        }
        assert_eq!(spelled(&["--", "-v"]).1, Some(End::Operand("-v".into())));
        assert_eq!(spelled(&["-e", "--"]).1, None);
        assert_eq!(spelled(&["", "-v"]).1, Some(End::Operand("".into())));
    }

    #[test]
    fn subcommands_and_unknown_names_go_to_the_parser() {
        for line in [
            &["--unknown", "-v"][..],
            &["--sysl", "-v"],
            &["--syslog=x", "-v"],
            &["--version=x", "-v"],
            &["---", "-v"],
            &["keygen", "--help"],
        ] {
            let expected = line.iter().map(|&arg| arg.to_owned()).collect();
            assert_eq!(spelled(line), (expected, None));
        }
    }
}
