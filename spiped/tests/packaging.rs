//! The man pages and shell completions of the packages are those of the command line's definition.
//!
//! `SPIPED_UPDATE=1` writes them anew. Of a man page, options and synopsis are generated; the rest
//! stands in `packaging/man/*.in`.
// Clippy takes only the test functions themselves for tests.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use spiped::cli::{spipe_command, spiped_command};
use spiped::pipe::close_reason::CloseReason;

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging")
}

/// Compares a file with what it should hold, or makes it so.
fn check(file: &str, expected: &str) {
    let path = packaging().join(file);
    if std::env::var_os("SPIPED_UPDATE").is_some_and(|set| set == "1") {
        // Another test may read it meanwhile.
        let new = packaging().join(format!("{file}.new"));
        fs::write(&new, expected).unwrap();
        fs::rename(new, &path).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "packaging/{file} is out of date; SPIPED_UPDATE=1 writes it anew"
    );
}

#[test]
fn man_pages_are_up_to_date() {
    check("man/spiped.1", &man_page(spiped_command()));
    check("man/spipe.1", &man_page(spipe_command()));
}

#[test]
fn completions_are_up_to_date() {
    for (command, shell, file) in [
        (spiped_command(), Shell::Bash, "spiped.bash"),
        (spipe_command(), Shell::Bash, "spipe.bash"),
        (spiped_command(), Shell::Zsh, "_spiped"),
        (spipe_command(), Shell::Zsh, "_spipe"),
        (spiped_command(), Shell::Fish, "spiped.fish"),
        (spipe_command(), Shell::Fish, "spipe.fish"),
    ] {
        check(&format!("completions/{file}"), &completion(command, shell));
    }
}

#[test]
fn the_package_of_debian_is_of_this_version() {
    let changelog = fs::read_to_string(packaging().join("debian/changelog")).unwrap();
    let newest = format!("spiped-rs ({}-1) ", env!("CARGO_PKG_VERSION"));
    assert!(changelog.starts_with(&newest), "{changelog}");
}

#[test]
fn bash_completes_options_files_and_commands() {
    if Process::new("bash").arg("--version").output().is_err() {
        eprintln!("skipped: there is no bash");
        return;
    }
    assert_eq!(
        bash("spiped", &["--no"]),
        ["--no-keepalive", "--no-resolve"]
    );
    assert_eq!(bash("spiped", &["-e", "--sou"]), ["--source"]);
    assert_eq!(bash("spiped", &["key"]), ["keygen"]);
    assert_eq!(bash("spiped", &["status", "--j"]), ["--json"]);
    assert_eq!(bash("spiped", &["-k", "Cargo.t"]), ["Cargo.toml"]);
    // Nothing: bash goes on to the names of files by itself.
    assert_eq!(bash("spiped", &["keygen", "Cargo.t"]), [""]);
    assert_eq!(bash("spipe", &["--ke"]), ["--key"]);
    assert_eq!(bash("spipe", &["-k", "Cargo.t"]), ["Cargo.toml"]);
}

/// What bash offers for the last of `words`, in this crate's directory.
fn bash(program: &str, words: &[&str]) -> Vec<String> {
    let script = format!(
        "source completions/{program}.bash || exit
        # Only bash itself, completing, may call the real one.
        compopt() {{ true; }}
        cd '{}' || exit
        COMP_WORDS=({program} {})
        COMP_CWORD={}
        _{program} {program} '{}' '{}'
        printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        env!("CARGO_MANIFEST_DIR"),
        words.join(" "),
        words.len(),
        words.last().unwrap(),
        words.iter().rev().nth(1).unwrap_or(&program),
    );
    let output = Process::new("bash")
        .args(["--norc", "-c", &script])
        .current_dir(packaging())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && said.is_empty(),
        "{words:?}: {said}"
    );
    let offered = String::from_utf8(output.stdout).unwrap();
    offered.lines().map(str::to_owned).collect()
}

fn completion(mut command: Command, shell: Shell) -> String {
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut text);
    String::from_utf8(text).unwrap()
}

fn man_page(command: Command) -> String {
    let template = packaging().join(format!("man/{}.1.in", command.get_name()));
    let synopsis = synopsis(&command);
    let mut options = Vec::new();
    Man::new(command)
        .render_options_section(&mut options)
        .unwrap();
    let options = String::from_utf8(options).unwrap();
    let (preamble, options) = options.split_once(".SH ").unwrap();
    let page = fs::read_to_string(template)
        .unwrap()
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"))
        .replace("@SYNOPSIS@\n", &synopsis)
        .replace("@OPTIONS@\n", &sections(options));
    format!("{preamble}{page}")
}

/// Headings one level down and not in capitals, values without angle brackets, and sentences with
/// their full stop, which `--help` leaves out.
fn sections(options: &str) -> String {
    let mut text = String::new();
    for line in format!(".SH {options}").lines() {
        let line = match line.strip_prefix(".SH ") {
            Some(heading) => {
                let heading = heading.trim_matches('"').to_lowercase();
                let (first, rest) = heading.split_at(1);
                format!(".SS {}{rest}", first.to_uppercase())
            }
            None if line.starts_with(['.', '\\']) => {
                line.replace("\\fI<", "\\fI").replace(">\\fR", "\\fR")
            }
            None => format!("{}.", line.trim_end_matches('.')),
        };
        writeln!(text, "{line}").unwrap();
    }
    text
}

/// The usage as a synopsis: a line for each form, what is typed as it stands in bold, and what it
/// stands for in italics.
fn synopsis(command: &Command) -> String {
    let usage = command.get_overridden_usage().unwrap().to_string();
    let mut text = String::new();
    for line in usage.lines().map(str::trim_start) {
        if line.starts_with(command.get_name()) && !text.is_empty() {
            text.push_str(".br\n");
        }
        let mut depth = 0;
        for word in line.split_inclusive(' ') {
            depth += word.matches(['[', '{']).count();
            depth -= word.matches([']', '}']).count();
            text.push_str(&set(word.trim_end()));
            // What stands in brackets stays on one line.
            text.push_str(if depth > 0 { "\\ " } else { " " });
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// One word of the usage: letters in capitals are italic, all else but brackets is bold.
fn set(word: &str) -> String {
    let is_letter = |character: char| character.is_ascii_alphanumeric() || character == '-';
    let start = word.find(is_letter).unwrap_or(word.len());
    let end = word.rfind(is_letter).map_or(start, |at| at + 1);
    let (before, inner, after) = (&word[..start], &word[start..end], &word[end..]);
    let font = match inner.contains(char::is_uppercase) && !inner.starts_with('-') {
        true => 'I',
        false => 'B',
    };
    match inner.is_empty() {
        true => word.to_owned(),
        false => format!("{before}\\f{font}{}\\fR{after}", inner.replace('-', "\\-")),
    }
}

/// Every system call that the sandbox names is explained.
#[test]
fn the_list_of_system_calls_is_complete() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let code = fs::read_to_string(root.join("src/os/sandbox/syscalls.rs")).unwrap();
    let text = fs::read_to_string(root.join("../docs/hardening.md")).unwrap();
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let named = code.split("libc::SYS_").skip(1);
    let named: Vec<_> = named
        .map(|rest| rest.split(|character| !is_part(character)).next().unwrap())
        .collect();
    assert!(named.len() > 100, "{named:?}");
    for call in named {
        assert!(text.contains(&format!("`{call}`")), "{call}");
    }
}

/// Whoever writes programs for the log finds there what may be in it.
#[test]
fn the_list_of_log_fields_and_outcomes_is_complete() {
    let man = fs::read_to_string(packaging().join("man/spiped.1.in")).unwrap();
    let (_, section) = man.split_once("\n.SH LOG\n").unwrap();
    let (section, _) = section.split_once("\n.SH ").unwrap();
    let words: Vec<_> = section
        .split(|c: char| c.is_whitespace() || c == '"')
        .collect();
    for reason in CloseReason::ALL {
        let code = reason.code().replace('-', "\\-");
        assert!(words.contains(&&*code), "{reason}");
    }
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let source = |file| fs::read_to_string(sources.join(file)).unwrap();
    let code = ["pipe/connection_info.rs", "pipe/accept.rs", "log/writer.rs"]
        .map(source)
        .concat();
    let noted = code.split("fields.").skip(1);
    let names: Vec<_> = noted
        .filter_map(|call| call.split_once("(\"")?.1.split_once('"'))
        .map(|(name, _)| name)
        .collect();
    assert!(names.contains(&"peer") && names.len() > 8, "{names:?}");
    for name in names {
        assert!(words.contains(&name), "{name}");
    }
}
