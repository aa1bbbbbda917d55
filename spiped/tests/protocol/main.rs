//! Which version of the protocol two ends speak, by what `--protocol` allows each, and where that is
//! seen.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fronts;
mod strangers;

use serde_json::Value;
use testbed::{Address, Listener, Maker, Mode, Pattern, Plan, Program, Site, Transport, until};

/// Arguments of an end that allows one version, or all.
fn args(protocol: &str) -> Vec<&str> {
    let mut args = vec!["--log-format", "json", "--log-level", "info"];
    if !protocol.is_empty() {
        args.extend(["--protocol", protocol]);
    }
    args
}

fn lines(program: &Program) -> Vec<Value> {
    let stderr = program.stderr();
    let whole = stderr.rfind('\n').map_or("", |end| &stderr[..end]);
    let lines = whole.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The line about the end of the only connection, and the only line.
#[track_caller]
fn ended(program: &Program) -> Value {
    until("a line about the end of the connection", || {
        lines(program)
            .into_iter()
            .find(|line| line["outcome"].is_string())
    })
}

#[test]
fn two_ends_speak_the_newest_version_that_both_allow() {
    let ours = testbed::ours!();
    for (client_allows, server_allows, expected) in [
        ("", "", 2),
        ("", "2", 2),
        ("2", "", 2),
        ("2", "2", 2),
        ("", "1", 1),
        ("1", "", 1),
        ("1", "1", 1),
    ] {
        let mut tunnel = Plan::new(&ours, &ours)
            .client_args(&args(client_allows))
            .server_args(&args(server_allows))
            .start();
        let (mut client, mut target) = tunnel.open();
        client.tx.send(&mut Pattern::new(1), 5000);
        client.tx.finish();
        target.rx.expect(&mut Pattern::new(1), 5000);
        target.rx.expect_end();
        target.tx.send(&mut Pattern::new(2), 3000);
        target.tx.finish();
        client.rx.expect(&mut Pattern::new(2), 3000);
        client.rx.expect_end();
        for line in [ended(tunnel.client()), ended(tunnel.server())] {
            let case = format!("{client_allows:?} to {server_allows:?}: {line}");
            assert_eq!(line["outcome"], "done", "{case}");
            assert_eq!(line["protocol"], expected, "{case}");
            let message = line["message"].as_str().unwrap();
            assert!(
                message.ends_with(&format!(", protocol {expected}")),
                "{case}"
            );
        }
    }
}

#[test]
fn ends_that_allow_no_version_in_common_say_so_in_one_line_each() {
    let ours = testbed::ours!();
    const NO_VERSION: (&str, &str) = (
        "wrong-key",
        "wrong key, or the peer speaks no version of the protocol that is allowed here",
    );
    const CLOSED: (&str, &str) = (
        "refused",
        "the peer closed the connection (another key or version, or not spiped?)",
    );
    // Whoever allows version 2 alone finds out, and the other end sees a reset.
    for (client_allows, server_allows, at_client, at_server) in [
        ("2", "1", NO_VERSION, CLOSED),
        ("1", "2", CLOSED, NO_VERSION),
    ] {
        let mut tunnel = Plan::new(&ours, &ours)
            .client_args(&args(client_allows))
            .server_args(&args(server_allows))
            .start();
        tunnel.connect().rx.expect_nothing();
        for (line, (outcome, reason)) in [
            (ended(tunnel.client()), at_client),
            (ended(tunnel.server()), at_server),
        ] {
            let case = format!("{client_allows:?} to {server_allows:?}: {line}");
            assert_eq!(line["outcome"], outcome, "{case}");
            assert_eq!(line["protocol"], Value::Null, "{case}");
            let message = line["message"].as_str().unwrap();
            assert!(message.contains(reason), "{case}");
        }
        let ends = [lines(tunnel.client()), lines(tunnel.server())];
        for lines in ends {
            let failed = lines.iter().filter(|line| line["outcome"].is_string());
            assert_eq!(failed.count(), 1, "{lines:?}");
        }
        // Nothing has been dialled.
        assert!(tunnel.target().accept_within(testbed::ABSENCE).is_none());
    }
}

/// What a client tells of a server that allows these versions.
fn probe(ours: &Maker, server: &Maker, server_args: &[&str], args: &[&str]) -> String {
    let site = Site::new();
    let target = Listener::bind(Transport::V4, &site.dir);
    let mut command = server.spiped(Mode::Decrypt, &site.source, target.address(), &site.key);
    command.args(server_args);
    let _server = Program::serving(&site.dir, "server", command, &site.source);
    let mut command = ours.bare_spiped();
    command.args(["probe", &site.source.to_string(), "-k"]);
    command.arg(site.dir.join("key")).args(args);
    let output = command.output().unwrap();
    let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    // A warning about the key would be a second line.
    assert_eq!(told.lines().count(), 1, "{told}");
    told
}

#[test]
fn probe_tells_the_version() {
    let ours = testbed::ours!();
    for (server_args, args, expected) in [
        (&[][..], &[][..], "holds the key, protocol 2, with forward"),
        (&["-f"], &["-g"], "holds the key, protocol 2, with forward"),
        (
            &["--protocol", "1"],
            &[],
            "holds the key, protocol 1, with forward",
        ),
        (
            &[],
            &["-f", "--protocol", "1"],
            "holds the key, protocol 1, without forward",
        ),
        (
            &["--protocol", "1"],
            &["--protocol", "2"],
            "speaks no version of the protocol that is allowed here",
        ),
    ] {
        let told = probe(&ours, &ours, server_args, args);
        assert!(told.contains(expected), "{server_args:?} {args:?}: {told}");
    }
}

#[test]
fn a_client_of_version_2_alone_refuses_c_spiped() {
    let (ours, theirs) = (testbed::ours!(), testbed::theirs!());
    let told = probe(&ours, &theirs, &[], &[]);
    assert!(told.contains("holds the key, protocol 1,"), "{told}");
    let told = probe(&ours, &theirs, &[], &["--protocol", "2"]);
    assert!(told.contains("speaks no version"), "{told}");
}

#[test]
fn spipe_and_a_file_choose_a_version_too() {
    let ours = testbed::ours!();
    let site = Site::new();
    let target = Listener::bind(Transport::V4, &site.dir);
    let source = Address::free_v4();
    let file = site.dir.join("pipes.toml");
    let text = format!(
        "[pipe.new]\nmode = \"decrypt\"\nsource = \"{source}\"\ntarget = \"{}\"\n\
         key = \"key\"\nprotocol = 2\n",
        target.address()
    );
    std::fs::write(&file, text).unwrap();
    let mut command = ours.bare_spiped();
    command.arg("--config").arg(&file);
    let _server = Program::serving(&site.dir, "server", command, &source);
    let spipe = |protocol: &str| {
        let mut spipe = ours.spipe(&source, &site.key);
        spipe.args(["--protocol", protocol]);
        Program::start(&site.dir, &format!("spipe{protocol}"), spipe)
    };
    let mut new = spipe("2");
    let mut served = target.accept();
    served.rx.expect_end();
    served.tx.finish();
    assert!(new.wait().success(), "{}", new.stderr());
    let mut old = spipe("1");
    assert!(!old.wait().success());
    assert!(
        old.stderr().contains("another key or version"),
        "{}",
        old.stderr()
    );
}
