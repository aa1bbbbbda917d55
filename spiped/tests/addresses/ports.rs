//! What is no port, or no address that a port can be of, is refused, whatever it is for.

use std::process::Command;

use testbed::{Maker, Program, Site};

/// A text that is no address, for whatever it is used, and what is said of it.
const NEVER: [(&str, &str); 10] = [
    ("localhost:+70000", "'+70000' is not a port number"),
    ("localhost:65536", "'65536' is not a port number"),
    ("[127.0.0.1]:65536", "'65536' is not a port number"),
    ("localhost: 80", "' 80' is not a port number"),
    ("localhost:80 ", "'80 ' is not a port number"),
    ("localhost:80 http", "'80 http' is not a port number"),
    ("localhost:", "no port in 'localhost:' (write "),
    ("[127.0.0.1]:", "no port in '[127.0.0.1]:' (write "),
    (
        "localhost:no-such-service",
        "there is no service 'no-such-service' in /etc/services (write the port as a number)",
    ),
    (
        "[fe80::1]:80",
        "'fe80::1' is link-local and needs its network interface (write fe80::1%eth0, for one)",
    ),
];

/// The same for an address that is connected to.
const NO_TARGETS: [(&str, &str); 2] = [
    (
        "[127.0.0.1]:0",
        "'[127.0.0.1]:0' has port 0, which nothing can connect to",
    ),
    (
        "localhost:0",
        "'localhost:0' has port 0, which nothing can connect to",
    ),
];

/// Commands that take this text for an address, each by another option.
fn users(ours: &Maker, site: &Site, text: &str, for_targets: bool) -> Vec<Command> {
    let spiped = |words: &[&str]| {
        let mut command = ours.bare_spiped();
        command.args(words).arg("-k").arg(&site.key);
        command
    };
    let spipe = |words: &[&str]| {
        let mut command = ours.bare_spipe();
        command.args(words).arg("-k").arg(&site.key);
        command
    };
    let [source, target] = [&site.source, &site.target].map(ToString::to_string);
    let daemon = ["-e", "-F"];
    let with = |more: &[&str]| spiped(&[&daemon[..], more].concat());
    let mut all = vec![
        with(&["-s", &source, "-t", text]),
        spiped(&["probe", "-t", text]),
        spipe(&["-t", text]),
    ];
    if !for_targets {
        all.extend([
            with(&["-s", text, "-t", &target]),
            with(&["-s", &source, "-t", &target, "-b", text]),
            with(&["-s", &source, "-t", &target, "--metrics", text]),
            spiped(&["probe", "-t", &target, "-b", text]),
            spipe(&["-t", &target, "-b", text]),
        ]);
    }
    all
}

/// A file whose pipe has this text as the value of a setting.
fn file(site: &Site, setting: &str, text: &str) -> (String, usize) {
    let values = [
        ("source", site.source.to_string()),
        ("target", site.target.to_string()),
        ("bind", "127.0.0.1".to_owned()),
    ];
    let mut lines = "[pipe.one]\nmode = \"encrypt\"\nkey = \"key\"\n".to_owned();
    for (name, good) in &values {
        let value = if *name == setting { text } else { good };
        lines += &format!("{name} = \"{value}\"\n");
    }
    let line = values.iter().position(|(name, _)| *name == setting);
    (lines, line.unwrap() + 4)
}

#[track_caller]
fn is_refused(site: &Site, text: &str, said: &str, command: Command) {
    let shown = format!("{command:?}");
    let (status, told) = Program::run(&site.dir, "refused", command);
    assert_eq!(status.code(), Some(1), "{shown}: {told}");
    assert!(told.contains(said), "{text}: {shown}: {told}");
    assert_eq!(told.lines().count(), 1, "{shown}: {told}");
}

#[test]
fn what_is_no_port_is_refused_at_the_start_whatever_it_is_for() {
    let ours = testbed::ours!();
    let site = Site::new();
    for (text, said) in NEVER {
        for command in users(&ours, &site, text, false) {
            is_refused(&site, text, said, command);
        }
    }
    for (text, said) in NO_TARGETS {
        for command in users(&ours, &site, text, true) {
            is_refused(&site, text, said, command);
        }
    }
}

#[test]
fn what_is_no_port_is_a_mistake_in_a_file() {
    let ours = testbed::ours!();
    let site = Site::new();
    let everywhere = NEVER.iter().flat_map(|(text, said)| {
        ["source", "target", "bind"].map(|setting| (setting, *text, *said))
    });
    let targets = NO_TARGETS.map(|(text, said)| ("target", text, said));
    for (setting, text, said) in everywhere.chain(targets) {
        let (lines, line) = file(&site, setting, text);
        let path = site.dir.write("pipes.toml", lines);
        let mut check = ours.bare_spiped();
        check.arg("check").arg(&path);
        let place = format!("pipes.toml:{line}:{}: {setting}: {said}", setting.len() + 4);
        is_refused(&site, text, &place, check);
        let mut daemon = ours.bare_spiped();
        daemon.arg("-F").arg("--config").arg(&path);
        is_refused(&site, text, said, daemon);
    }
}
