//! What `spiped probe` tells of another end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Output;

use testbed::{Address, Listener, Maker, Mode, Program, Site, Transport};

fn probe(ours: &Maker, target: &Address, key: &str, site: &Site, more: &[&str]) -> Output {
    let mut command = ours.bare_spiped();
    command.args(["probe", &target.to_string(), "-k"]);
    command.arg(site.dir.join(key)).args(more);
    command.output().unwrap()
}

/// Of servers that speak this version of the protocol by default.
fn probes(theirs: &Maker, protocol: u32) {
    let ours = testbed::ours!();
    let site = Site::new();
    let target = Listener::bind(Transport::V4, &site.dir);
    let start = |source: &Address, more: &[&str]| {
        let mut command = theirs.spiped(Mode::Decrypt, source, target.address(), &site.key);
        command.args(more);
        Program::serving(&site.dir, "server", command, source)
    };
    let fast = Address::free_v4();
    let _server = start(&site.source, &[]);
    let _fast_server = start(&fast, &["-f"]);
    site.dir.write("other", [b'o'; 32]);
    let told = |output: Output| {
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code().unwrap(),
            String::from_utf8(text).unwrap(),
        )
    };
    let (code, text) = told(probe(&ours, &site.source, "key", &site, &[]));
    assert_eq!(code, 0, "{text}");
    let start = format!(
        "{}: holds the key, protocol {protocol}, with forward secrecy; resolve ",
        site.source
    );
    assert!(
        text.starts_with(&start) && text.lines().count() == 1,
        "{text}"
    );
    let (code, text) = told(probe(&ours, &fast, "key", &site, &[]));
    // Version 2 has forward secrecy whatever is asked for.
    let v2 = protocol == 2;
    let secrecy = if v2 { "with" } else { "without" };
    assert!(
        code == 0 && text.contains(&format!("{secrecy} forward secrecy")),
        "{text}"
    );
    let (code, text) = told(probe(&ours, &fast, "key", &site, &["-g"]));
    assert_eq!(code == 0, v2, "{text}");
    assert!(text.contains("forward secrecy") && text.lines().count() <= 2);
    for (target, key, more, reason) in [
        (
            &site.source,
            "other",
            &[][..],
            "the peer closed the connection",
        ),
        (&fast, "key", &["-g", "--protocol", "1"], "forward secrecy"),
        (&site.target, "key", &[], "connection refused"),
        (target.address(), "key", &["-o", "0.3"], "not over within"),
    ] {
        let (code, text) = told(probe(&ours, target, key, &site, more));
        assert_eq!(code, 1, "{text}");
        assert!(
            text.contains(reason) && text.lines().count() <= 2,
            "{reason}: {text}"
        );
    }
}

#[test]
fn probe_tells_of_our_spiped() {
    probes(&testbed::ours!(), 2);
}

#[test]
fn probe_tells_of_c_spiped() {
    probes(&testbed::theirs!(), 1);
}
