//! The command line table that the programs are tested with, as far as reading arguments goes, and
//! what the table does not say: values and words.

use std::ffi::OsString;
use std::fs;
use std::num::NonZeroU64;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use spiped_tokio::{ForwardSecrecy, HandshakeConfig, Version, Versions};
use tempfile::TempDir;

use super::*;
use crate::config::file::{self, KeyFiles};
use crate::config::number;
use crate::config::options::Keepalive;
use crate::config::settings::{ConnectionConfig, PipeConfig, ProcessConfig};
use crate::config::values::{Mode, ProxyVersion, Seconds};
use crate::keys::keyfile::KeySource;
use crate::log::{Destination, Level};
use crate::os::sandbox::Sandbox;

mod table;

use table::{Outcome, Place, Row};

fn place() -> Place<'static> {
    Place {
        dir: Path::new("/dir"),
        port: 8025,
        dead_port: 8026,
    }
}

fn spiped_rows() -> Vec<Row> {
    [
        table::SPIPED,
        table::SPIPED_VALUES,
        table::SPIPED_ADDRESSES,
        table::SPIPED_AS_ROOT,
        table::SPIPED_BIND,
    ]
    .concat()
}

fn spiped(line: &str) -> Result<SpipedCommand, Exit> {
    parse_spiped(line.split_whitespace().map(OsString::from))
}

fn options(line: &str) -> SpipedOptions {
    match spiped(line) {
        Ok(SpipedCommand::Run(options)) => options,
        other => panic!("{line}: {other:?}"),
    }
}

fn pipe(line: &str) -> PipeOptions {
    match options(line).pipes {
        Pipes::One(pipe) => pipe,
        Pipes::File(file) => panic!("{line}: {file:?}"),
    }
}

fn refused(line: &str) -> String {
    let exit = spiped(line).unwrap_err();
    assert_eq!((exit.stream, exit.code), (Stream::Stderr, 1), "{line}");
    let (reason, usage) = exit.text.split_once('\n').unwrap();
    let command = line.split(' ').next().unwrap();
    let used = match spiped_command().find_subcommand(command) {
        Some(_) => format!("usage: spiped {command} "),
        None => "usage: spiped {-e | -d}".to_owned(),
    };
    assert!(usage.starts_with(&used), "{line}: {usage}");
    assert!(usage.ends_with('\n'));
    reason.to_owned()
}

fn outcome<T>(program: &str, parsed: Result<T, Exit>) -> Option<Outcome> {
    let exit = parsed.err()?;
    let usage = exit.text.contains(&format!("\nusage: {program}"));
    let version = format!("{program} {}\n", env!("CARGO_PKG_VERSION"));
    Some(match (exit.code, exit.stream) {
        (1, Stream::Stderr) if usage => Outcome::Refused,
        (0, Stream::Stderr) if exit.text == version => Outcome::Version,
        (0, Stream::Stdout) => Outcome::Help,
        _ => panic!("{exit:?}"),
    })
}

fn expected(row: &Row) -> Option<Outcome> {
    let early = matches!(
        row.ours,
        Outcome::Refused | Outcome::Version | Outcome::Help
    );
    early.then_some(row.ours)
}

#[test]
fn every_row_of_the_table_is_read_as_it_says() {
    for row in spiped_rows() {
        let parsed = parse_spiped(row.arguments(place()));
        assert_eq!(
            outcome("spiped", parsed),
            expected(&row),
            "spiped {}",
            row.line
        );
    }
    for row in [table::SPIPE, table::SPIPE_BIND].concat() {
        let parsed = parse_spipe(row.arguments(place()));
        assert_eq!(
            outcome("spipe", parsed),
            expected(&row),
            "spipe {}",
            row.line
        );
    }
}

#[test]
fn a_row_has_a_reason_exactly_when_the_programs_differ() {
    for row in [&spiped_rows()[..], table::SPIPE, table::SPIPE_BIND].concat() {
        assert_eq!(row.ours != row.theirs, !row.why.is_empty(), "{}", row.line);
    }
}

#[test]
fn the_definitions_are_sound() {
    spiped_command().debug_assert();
    spipe_command().debug_assert();
}

#[test]
fn defaults_are_those_of_c_spiped() {
    let expected = SpipedOptions {
        pipes: Pipes::One(PipeOptions {
            mode: Mode::Encrypt,
            source: "[::1]:80".to_owned(),
            target: "host:81".to_owned(),
            key: KeySource::File("key".into()),
            bind: None,
            connection: ConnectionConfig {
                handshake: HandshakeConfig::default(),
                proxy_protocol: None,
                accept_proxy: None,
                keepalive: Keepalive { on: true },
                max_connections: NonZeroU64::new(100).into(),
                max_connections_per_client: None.into(),
                max_unproved: NonZeroU64::new(4096).into(),
                max_unproved_per_source: None.into(),
                timeout: Duration::from_secs(5).into(),
                idle: Seconds::default(),
                resolve_interval: Some(Duration::from_secs(60)),
            },
        }),
        process: ProcessConfig {
            wait_for_dns: false,
            foreground: false,
            pidfile: None,
            drain: None,
            control: None,
            metrics: None,
            sandbox: Sandbox::On,
            log: None,
            log_level: Level::Notice,
            user: None,
        },
    };
    let options = options("-e -s [::1]:80 -t host:81 -k key");
    assert_eq!(options.default_pidfile(), Path::new("[::1]:80.pid"));
    assert_eq!(options, expected);
}

#[test]
fn every_option_arrives_whether_short_or_long() {
    let expected = SpipedOptions {
        pipes: Pipes::One(PipeOptions {
            mode: Mode::Decrypt,
            source: "/s".to_owned(),
            target: "/t".to_owned(),
            key: KeySource::Stdin,
            bind: Some("[127.0.0.7]".to_owned()),
            connection: ConnectionConfig {
                handshake: HandshakeConfig::default()
                    .with_forward_secrecy(ForwardSecrecy::Required)
                    .with_versions(Versions::Only(Version::V2)),
                proxy_protocol: Some(ProxyVersion::V1),
                accept_proxy: Some("10.0.0.0/8,::1,unix".parse().unwrap()),
                keepalive: Keepalive { on: false },
                max_connections: NonZeroU64::new(7).into(),
                max_connections_per_client: NonZeroU64::new(2).into(),
                max_unproved: NonZeroU64::new(8).into(),
                max_unproved_per_source: NonZeroU64::new(1).into(),
                timeout: Duration::from_millis(2500).into(),
                idle: Duration::from_secs(90).into(),
                resolve_interval: Some(Duration::from_secs(30)),
            },
        }),
        process: ProcessConfig {
            wait_for_dns: true,
            foreground: true,
            pidfile: Some(PathBuf::from("/pid")),
            drain: Some(Duration::from_millis(1500).into()),
            control: Some("/control".into()),
            metrics: Some("[::1]:9100".to_owned()),
            sandbox: Sandbox::Require,
            log: Some(Destination::Syslog),
            log_level: Level::Info,
            user: Some(":daemon".to_owned()),
        },
    };
    let short = "-dDFgj -s/s -t/t -k- -b[127.0.0.7] -n7 -o2.5 -p/pid -r30 -u:daemon --syslog \
        --log-level=info --max-connections-per-client 2 --max-unproved 8 --max-unproved-per-source 1 --idle 90 --drain=1.5 --sandbox=require \
        --metrics [::1]:9100 --control /control --proxy-protocol v1 --accept-proxy 10.0.0.0/8,::1,unix --protocol 2";
    let long = "--decrypt --wait-for-dns --foreground --require-forward-secrecy --no-keepalive \
        --source /s --target=/t --key - --bind [127.0.0.7] --max-connections=7 --timeout 2.5 \
        --pidfile /pid --resolve-interval 30 --user :daemon --syslog --log-level info \
        --max-connections-per-client=2 --max-unproved=8 --max-unproved-per-source=1 --idle=90 --drain 1.5 --sandbox require \
        --metrics=[::1]:9100 --control=/control --proxy-protocol=v1 --accept-proxy=10.0.0.0/8,::1,unix --protocol=2";
    assert_eq!(options(short), expected);
    assert_eq!(options(long), expected);
}

#[test]
fn probe_has_a_target_with_or_without_a_letter() {
    for line in [
        "probe host:1 -k key",
        "probe -k key host:1",
        "probe -kkey -thost:1",
    ] {
        let Ok(SpipedCommand::Probe(options)) = spiped(line) else {
            panic!("{line}")
        };
        assert_eq!(options.target, "host:1");
        assert_eq!(options.key, KeySource::File("key".into()));
    }
}

#[test]
fn a_file_excludes_what_it_says_itself() {
    let line = "--config /etc/spiped.toml -FD -p /pid -u me --drain 3 --syslog --sandbox off";
    let options = options(line);
    assert_eq!(options.pipes, Pipes::File("/etc/spiped.toml".into()));
    assert_eq!(options.default_pidfile(), Path::new("/etc/spiped.toml.pid"));
    for more in [
        "-e",
        "-s a",
        "-t b",
        "-k c",
        "-b d",
        "-n 3",
        "-o 3",
        "-j",
        "-f",
        "-R",
        "-r 3",
        "--protocol 1",
    ] {
        let reason = refused(&format!("--config f {more}"));
        assert!(reason.ends_with(" exclude each other"), "{reason}");
    }
}

#[test]
fn the_log_is_what_is_asked_for() {
    let with = |more: &str| options(&format!("-e -s a -t b -k c {more}")).process;
    for (given, expected) in [
        ("--log-format plain", Destination::Stderr),
        ("--log-format json", Destination::Json),
        ("--log-format journal", Destination::Journal),
        ("--syslog", Destination::Syslog),
    ] {
        assert_eq!(with(given).log, Some(expected));
    }
    for level in [Level::Error, Level::Warning, Level::Notice, Level::Info] {
        assert_eq!(with(&format!("--log-level {level}")).log_level, level);
    }
}

#[test]
fn numbers_and_switches_have_their_effect() {
    let with = |more: &str| pipe(&format!("-e -s a -t b -k c {more}")).connection;
    assert_eq!(with("-n 0").max_connections.get(), None);
    assert_eq!(with("-n -1").max_connections.get(), None);
    assert_eq!(with("--max-unproved 0").max_unproved.get(), None);
    assert_eq!(
        with("--max-connections-per-client 0")
            .max_connections_per_client
            .get(),
        None
    );
    assert_eq!(
        with("--max-unproved-per-source 0")
            .max_unproved_per_source
            .get(),
        None
    );
    assert_eq!(with("--idle 0").idle.if_any(), None);
    assert_eq!(with("-o 0").timeout.get(), Duration::from_secs(5));
    assert_eq!(with("-r 0").resolve_interval, Some(Duration::from_secs(60)));
    assert_eq!(with("-R").resolve_interval, None);
    assert_eq!(
        with("-f").handshake.forward_secrecy,
        ForwardSecrecy::Disabled
    );
    // -f says nothing about version 2, so it excludes no --protocol.
    let versions = with("-f --protocol 2").handshake.versions;
    assert_eq!(versions, Versions::Only(Version::V2));
}

#[test]
fn spipe_takes_its_options() {
    let line = "-t host:81 -k key -b 127.0.0.7 -f -j -o 0.5 --protocol 1";
    let expected = SpipeOptions {
        target: "host:81".to_owned(),
        key: KeySource::File("key".into()),
        bind: Some("127.0.0.7".to_owned()),
        handshake: HandshakeConfig::default()
            .with_forward_secrecy(ForwardSecrecy::Disabled)
            .with_versions(Versions::Only(Version::V1)),
        keepalive: Keepalive { on: false },
        timeout: Duration::from_millis(500).into(),
    };
    let parsed = parse_spipe(line.split(' ').map(OsString::from));
    assert_eq!(parsed, Ok(expected));
}

#[test]
fn subcommands_take_their_arguments() {
    let file = PathBuf::from("/a/key");
    assert_eq!(spiped("keygen /a/key"), Ok(SpipedCommand::Keygen { file }));
    let file = PathBuf::from("/a/file");
    assert_eq!(spiped("check /a/file"), Ok(SpipedCommand::Check { file }));
}

#[test]
fn the_reason_is_one_line_that_names_the_option() {
    for (line, reason) in [
        ("", "neither -e nor -d is given"),
        ("-e -t b -k c", "no -s SOURCE is given"),
        ("-e -s a -k c", "no -t TARGET is given"),
        ("-e -s a -t b", "no -k KEYFILE is given"),
        ("-x", "unknown option -x"),
        ("-eé", "unknown option -é"),
        (
            "--sourc a",
            "unknown option --sourc (did you mean --source?)",
        ),
        ("-e stray", "unexpected argument \"stray\""),
        ("-e -e", "-e/--encrypt is given twice"),
        ("-s a --source=a", "-s/--source is given twice"),
        ("--syslog --syslog", "--syslog is given twice"),
        ("-e -d", "-e/--encrypt and -d/--decrypt exclude each other"),
        (
            "-e -s a -t b -k c -gf",
            "-f/--fast and -g/--require-forward-secrecy exclude each other",
        ),
        (
            "-e -r5 -R",
            "-r/--resolve-interval and -R/--no-resolve exclude each other",
        ),
        ("-o", "-o/--timeout needs a value"),
        ("--key", "-k/--key needs a value"),
        ("--syslog=x", "--syslog takes no value"),
        ("--drain", "--drain needs a value"),
        ("--drain=x", "--drain: \"x\" is not a number of seconds"),
        (
            "--drain=-1",
            "--drain: \"-1\" is not between 0.001 and 4294967296 seconds",
        ),
        ("--sandbox", "--sandbox needs a value"),
        ("--sandbox=", "--sandbox needs a value"),
        (
            "--sandbox=no",
            "--sandbox: \"no\" is none of on, off, require",
        ),
        (
            "--log-format=xml",
            "--log-format: \"xml\" is none of plain, json, journal",
        ),
        (
            "--syslog --log-format=json",
            "--syslog and --log-format exclude each other",
        ),
        (
            "--log-level debug",
            "--log-level: \"debug\" is none of error, warning, notice, info",
        ),
        ("--protocol 3", "--protocol: \"3\" is none of 1, 2"),
        ("--protocol v1", "--protocol: \"v1\" is none of 1, 2"),
        ("-o 5s", "-o/--timeout: \"5s\" is not a number of seconds"),
        (
            "-r -1",
            "-r/--resolve-interval: \"-1\" is not between 0.001 and 4294967296 seconds",
        ),
        (
            "-n many",
            "-n/--max-connections: \"many\" is not a whole number",
        ),
        ("probe -k key", "no TARGET is given"),
        (
            "probe a -t b -k key",
            "TARGET and -t/--target exclude each other",
        ),
        ("probe a b -k key", "unexpected argument \"b\""),
        ("probe", "no TARGET is given"),
        ("probe host:1", "no -k KEYFILE is given"),
        (
            "probe host:1 -k key -f -g",
            "-f/--fast and -g/--require-forward-secrecy exclude each other",
        ),
        ("check", "no FILE is given"),
        ("status", "no --control is given"),
        ("reload", "no --control is given"),
        (
            "help",
            "unexpected argument \"help\" (did you mean spiped --help?)",
        ),
        (
            "version",
            "unexpected argument \"version\" (did you mean spiped --version?)",
        ),
        (
            "keygne x",
            "unexpected argument \"keygne\" (did you mean spiped keygen?)",
        ),
        (
            "chekc",
            "unexpected argument \"chekc\" (did you mean spiped check?)",
        ),
        (
            "statsu --control x",
            "unexpected argument \"statsu\" (did you mean spiped status?)",
        ),
        ("demo", "unexpected argument \"demo\""),
        ("-e help", "unexpected argument \"help\""),
        ("keygen", "no FILE is given"),
        ("keygen a b", "unexpected argument \"b\""),
        ("keygen -f", "unknown option -f"),
    ] {
        assert_eq!(refused(line), format!("spiped: {reason}"), "{line}");
    }
}

#[test]
fn an_empty_path_is_refused_with_its_option() {
    let pipe = "-e -s [1.2.3.4]:1 -t [1.2.3.4]:2 -k key";
    for (line, option) in [
        ("-e -s a -t b -k @", "-k/--key"),
        (&*format!("{pipe} -p @"), "-p/--pidfile"),
        (&*format!("{pipe} --pidfile="), "-p/--pidfile"),
        (&*format!("{pipe} --control @"), "--control"),
        ("--config @", "--config"),
        ("status --control @", "--control"),
        ("reload --control @", "--control"),
        ("probe -t b -k @", "-k/--key"),
        ("keygen @", "FILE"),
        ("check @", "FILE"),
    ] {
        let words = line.split(' ').map(|word| match word {
            "@" => OsString::new(),
            word => word.into(),
        });
        let exit = parse_spiped(words).unwrap_err();
        let reason = exit.text.lines().next().unwrap();
        let expected = format!("spiped: {option}: the value is empty, and a path is needed");
        assert_eq!(reason, expected, "{line}");
    }
    // No pidfile is written.
    let line = format!("{pipe} -F -p");
    let words = line.split(' ').chain([""]).map(OsString::from);
    assert!(parse_spiped(words).is_ok());
}

#[test]
fn what_was_typed_cannot_break_the_line() {
    for given in ["-s\n\x1b[2J", "--a\nb\x07", "a\nb", "-\n", "-o\n", "keygen"] {
        let args = [given, "\n", "\r"].map(OsString::from);
        let exit = parse_spiped(args).unwrap_err();
        let (reason, rest) = exit.text.split_once('\n').unwrap();
        assert!(rest.starts_with("usage: spiped "), "{given:?}: {exit:?}");
        assert!(!reason.contains(char::is_control), "{reason:?}");
    }
}

/// Words that lead deep into the parser, and arbitrary bytes.
fn word() -> impl Strategy<Value = OsString> {
    let known: &'static [&'static str] = &[
        "-e",
        "-dF",
        "-k",
        "-ok",
        "-v",
        "-",
        "--",
        "--key",
        "--key=",
        "--timeout=5",
        "--syslog=x",
        "--help",
        "keygen",
        "probe",
        "-o=1",
        "-n-1",
        "-s[::1]:80",
        "=",
        "",
    ];
    prop_oneof![
        proptest::sample::select(known).prop_map(OsString::from),
        proptest::collection::vec(any::<u8>(), 0..8).prop_map(OsString::from_vec),
    ]
}

proptest! {
    #[test]
    fn any_arguments_end_in_options_or_an_exit(line in proptest::collection::vec(word(), 0..8)) {
        let exits = [
            parse_spiped(line.clone()).err(),
            parse_spipe(line.clone()).err(),
        ];
        for exit in exits.into_iter().flatten() {
            prop_assert_eq!(exit.code, u8::from(exit.text.contains("usage: ")));
            prop_assert!(exit.text.ends_with('\n'));
        }
        for text in line.iter().filter_map(|word| word.to_str()) {
            let _ = number::count(text);
            let _ = number::seconds(text, Duration::ZERO);
        }
    }
}

#[test]
fn the_help_fits_a_terminal_and_names_everything() {
    let spiped_itself = spiped_command();
    let commands = spiped_itself.get_subcommands().map(Command::get_name);
    for command in commands.chain([""]) {
        let exit = spiped(format!("{command} --help").trim()).unwrap_err();
        for line in exit.text.lines() {
            assert!(line.chars().count() < 80, "too wide: {line}");
        }
    }
    let help = spiped("--help").unwrap_err().text;
    for arg in spiped_command().get_arguments() {
        let long = arg.get_long().unwrap();
        assert!(help.contains(&format!("--{long}")), "{long}");
        if let Some(short) = arg.get_short() {
            assert!(help.contains(&format!("  -{short}, --{long}")), "{long}");
        }
    }
    for command in [spiped_command(), spipe_command()] {
        let usage = command.get_overridden_usage().unwrap().to_string();
        for arg in command.get_arguments() {
            let long = format!("--{}", arg.get_long().unwrap());
            let is_there = match arg.get_short() {
                Some(short) => usage
                    .split(['[', ' ', '|', '{', '}', ']', '\n'])
                    .any(|word| {
                        word.starts_with('-') && !word.starts_with("--") && word.contains(short)
                    }),
                None => usage.split([' ', '[', ']', '}']).any(|word| word == long),
            };
            assert!(is_there, "{long}: {usage}");
        }
    }
    let help = parse_spipe(["--help".into()]).unwrap_err().text;
    assert!(help.lines().all(|line| line.chars().count() < 80), "{help}");
}

#[test]
fn a_file_that_says_no_more_than_a_command_line_means_the_same() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let text = r#"
        [pipe.redis]
        mode = "encrypt"
        source = "[127.0.0.1]:6379"
        target = "b.example.org:8025"
        key = "redis.key"
    "#;
    fs::write(at("pipes.toml"), text).unwrap();
    let from_file = file::read(at("pipes.toml").as_ref(), KeyFiles::Leave).unwrap();
    let line = format!(
        "-e -s [127.0.0.1]:6379 -t b.example.org:8025 -k {}",
        at("redis.key")
    );
    let expected = PipeConfig {
        name: "redis".into(),
        ..PipeConfig::from_options(pipe(&line)).unwrap()
    };
    assert_eq!(from_file, [expected]);
}
