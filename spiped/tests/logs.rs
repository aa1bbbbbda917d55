//! What the log says of connections, to people and to programs, and that nobody waits for it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use testbed::{
    Address, Duplex, Echo, Listener, Maker, Mode, Pattern, Plan, Program, Site, Transport,
    in_private_view, until,
};

/// The first line of a program's standard error that is about a class, an object as all others.
#[track_caller]
fn object(program: &Program, class: &str) -> Value {
    until(&format!("a line about {class}"), || {
        objects(program).into_iter().find(|o| o["class"] == class)
    })
}

fn objects(program: &Program) -> Vec<Value> {
    let stderr = program.stderr();
    let whole = stderr.rfind('\n').map_or("", |end| &stderr[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Sends so much through a tunnel and so much back, and ends both directions.
fn pass(client: Duplex, target: Duplex, there: u64, back: u64) {
    let (Duplex { tx, rx }, mut target) = (client, target);
    let (mut tx, mut rx) = (tx, rx);
    tx.send(&mut Pattern::new(1), there);
    tx.finish();
    target.rx.expect(&mut Pattern::new(1), there);
    target.rx.expect_end();
    target.tx.send(&mut Pattern::new(2), back);
    target.tx.finish();
    rx.expect(&mut Pattern::new(2), back);
    rx.expect_end();
}

#[test]
fn a_closing_line_has_the_numbers_of_its_connection() {
    let ours = testbed::ours!();
    let args = ["--log-format", "json", "--log-level", "info"];
    let mut tunnel = Plan::new(&ours, &ours)
        .client_args(&args)
        .server_args(&args)
        .start();
    let (client, target) = tunnel.open();
    let client = Duplex {
        tx: client.tx,
        rx: client.rx,
    };
    pass(client, target, 100_001, 7);
    let (source, middle) = (tunnel.source().to_string(), tunnel.middle().to_string());
    for (mode, pipe, closed) in [
        ("encrypt", source, object(tunnel.client(), "closed")),
        ("decrypt", middle, object(tunnel.server(), "closed")),
    ] {
        assert_eq!(closed["level"], "info", "{closed}");
        assert_eq!(closed["mode"], mode, "{closed}");
        assert_eq!(closed["pipe"], *pipe, "{closed}");
        assert_eq!(closed["outcome"], "done", "{closed}");
        assert_eq!(closed["bytes_from_source"], 100_001, "{closed}");
        assert_eq!(closed["bytes_to_source"], 7, "{closed}");
        assert_eq!(closed["key"], Value::Null, "{closed}");
        assert_eq!(closed["protocol"], 2, "{closed}");
        let peer = closed["peer"].as_str().unwrap();
        assert!(peer.starts_with("[127.0.0.1]:"), "{closed}");
        let seconds = |name: &str| closed[name].as_f64().unwrap();
        assert!(seconds("handshake_seconds") > 0.0, "{closed}");
        assert!(seconds("dial_seconds") > 0.0, "{closed}");
        assert!(
            seconds("duration_seconds") > seconds("dial_seconds"),
            "{closed}"
        );
        let time = closed["time"].as_str().unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{closed}");
        let message = closed["message"].as_str().unwrap();
        assert!(
            message.contains(" has ended: 100001 bytes to the target, 7 back"),
            "{closed}"
        );
    }
}

/// As C spiped, which has never logged them.
#[test]
fn connections_that_end_well_are_no_lines_unless_asked_for() {
    let ours = testbed::ours!();
    let mut tunnel = Plan::new(&ours, &ours)
        .server_args(&["--sandbox=off"])
        .start();
    let (client, target) = tunnel.open();
    let client = Duplex {
        tx: client.tx,
        rx: client.rx,
    };
    pass(client, target, 1, 1);
    tunnel.server().terminate();
    assert!(tunnel.server().wait().success());
    assert_eq!(tunnel.server().stderr(), "");
}

/// What a port scan does, and a balancer that looks whether somebody listens: some close, some reset.
/// Whoever has said something has its line as ever.
#[test]
fn who_comes_and_goes_without_a_byte_is_counted_and_no_warning() {
    let ours = testbed::ours!();
    for (mode, more) in [
        (Mode::Encrypt, &[][..]),
        (Mode::Decrypt, &[]),
        (Mode::Encrypt, &["--accept-proxy=127.0.0.1"]),
        (Mode::Decrypt, &["--accept-proxy=127.0.0.1"]),
    ] {
        let site = Site::new();
        let silent = Listener::bind_tcp("127.0.0.1:0");
        let mut end = ours.spiped(mode, &site.source, silent.address(), &site.key);
        end.args(["--log-format=json", "--log-level=info"])
            .args(more);
        let end = Program::serving(&site.dir, "end", end, &site.source);
        let told = |outcome: &str| {
            let told = objects(&end).into_iter();
            told.filter(|o| o["outcome"] == outcome).collect::<Vec<_>>()
        };
        let closes = mode == Mode::Decrypt || !more.is_empty();
        if closes {
            drop(Duplex::connect(&site.source));
        }
        Duplex::connect(&site.source).reset();
        let expected = 1 + usize::from(closes);
        let unused = until("lines about the looks", || {
            let unused = told("unused");
            (unused.len() == expected).then_some(unused)
        });
        for line in unused {
            assert_eq!(
                (&line["level"], &line["class"]),
                (&"info".into(), &"unused".into())
            );
        }
        let mut said = Duplex::connect(&site.source);
        said.tx.send(&mut Pattern::new(1), 1);
        said.reset();
        until("a line about who has said something", || {
            let lines = objects(&end).into_iter();
            let mut failed = lines.filter(|line| line["level"] == "warning");
            failed.find(|line| line["outcome"].is_string())
        });
    }
}

#[test]
fn the_key_that_a_client_has_proved_is_named() {
    let ours = testbed::ours!();
    let site = Site::new();
    fs::create_dir(site.dir.join("keys")).unwrap();
    let key = site.dir.write("keys/alice.key", [b'a'; 32]);
    let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
    let folder = site.dir.join("keys");
    let mut d = ours.spiped(Mode::Decrypt, &site.source, echo.address(), &folder);
    d.args(["--log-format=json", "--log-level=info"]);
    let server = Program::serving(&site.dir, "d", d, &site.source);
    let source = Address::free_v4();
    let e = ours.spiped(Mode::Encrypt, &source, &site.source, &key);
    let _client = Program::serving(&site.dir, "e", e, &source);
    let mut client = Duplex::connect(&source);
    client.tx.send(&mut Pattern::new(1), 10);
    client.tx.finish();
    client.rx.expect(&mut Pattern::new(1), 10);
    client.rx.expect_end();
    let closed = object(&server, "closed");
    assert_eq!(closed["key"], "alice", "{closed}");
    let message = closed["message"].as_str().unwrap();
    assert!(message.contains(" (alice) has ended"), "{closed}");
}

#[test]
fn all_failures_are_objects_with_an_outcome_or_counted_in_one() {
    let ours = testbed::ours!();
    let site = Site::new();
    // It stands in each line.
    let source = Address::Unix(site.dir.join("so\"ur\\\u{1b}[31m\u{202e}\u{2028}ce"));
    let mut e = ours.spiped(Mode::Encrypt, &source, &site.target, &site.key);
    e.arg("--log-format=json");
    let mut daemon = Program::serving(&site.dir, "e", e, &source);
    const CLIENTS: u64 = 30;
    for _ in 0..CLIENTS {
        let mut client = Duplex::connect(&source);
        client.rx.expect_nothing();
    }
    // Reports what it still holds back.
    daemon.terminate();
    assert!(daemon.wait().success());
    let objects = objects(&daemon);
    let about: Vec<_> = objects.iter().filter(|o| o["class"] == "dial").collect();
    let (held, told): (Vec<_>, Vec<_>) = about
        .into_iter()
        .partition(|object| !object["held_back"].is_null());
    for object in &told {
        assert_eq!(object["outcome"], "dial-failed", "{object}");
        assert_eq!(object["level"], "warning", "{object}");
        assert_eq!(object["pipe"], *source.to_string(), "{object}");
        assert_eq!(object["bytes_from_source"], 0, "{object}");
        assert_eq!(object["handshake_seconds"], Value::Null, "{object}");
    }
    let held_back = held.iter().map(|o| o["held_back"].as_u64().unwrap());
    assert!(told.len() >= 10, "{objects:?}");
    assert_eq!(told.len() as u64 + held_back.sum::<u64>(), CLIENTS);
    let raw = daemon.stderr();
    let deceives = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}' || c == '\u{2028}');
    assert!(!raw.contains(deceives), "{raw}");
}

#[test]
fn a_start_that_fails_is_an_object_too() {
    let ours = testbed::ours!();
    let site = Site::new();
    let mut e = ours.spiped(
        Mode::Encrypt,
        &site.source,
        &site.target,
        &site.dir.join("absent"),
    );
    e.args(["-F", "--log-format=json"]);
    let mut daemon = Program::start(&site.dir, "e", e);
    assert_eq!(daemon.wait().code(), Some(1));
    let [object] = &objects(&daemon)[..] else {
        panic!("not one line: {}", daemon.stderr())
    };
    assert_eq!(object["level"], "error");
    let message = object["message"].as_str().unwrap();
    assert!(message.contains("absent"), "{object}");
}

#[test]
fn with_many_pipes_each_line_names_its_own() {
    let ours = testbed::ours!();
    let site = Site::new();
    let text = format!(
        "[pipe.web]\nmode = \"encrypt\"\nkey = \"key\"\nsource = \"{}\"\ntarget = \"{}\"\n",
        site.source, site.target
    );
    let file = site.dir.write("pipes.toml", text);
    let mut command = ours.bare_spiped();
    command.arg("--config").arg(file);
    let daemon = Program::serving(&site.dir, "fleet", command, &site.source);
    Duplex::connect(&site.source).rx.expect_nothing();
    let line = until("a line about the target", || {
        let stderr = daemon.stderr();
        let line = stderr.lines().find(|line| line.contains("cannot connect"));
        line.map(str::to_owned)
    });
    let expected = "spiped: web: connection from [127.0.0.1]:";
    assert!(line.starts_with(expected), "{line}");
}

/// A daemon whose `/run` is a folder of the test, with a journal in it.
struct Journaled {
    site: Site,
    daemon: Program,
}

impl Journaled {
    /// Its standard error is what `$JOURNAL_STREAM` names, as under systemd.
    fn start(ours: &Maker, args: &[&str], prepare: impl FnOnce(&Site)) -> Self {
        let site = Site::new();
        fs::create_dir_all(site.dir.join("run/systemd/journal")).unwrap();
        prepare(&site);
        let spiped = ours.spiped(Mode::Encrypt, &site.source, &site.target, &site.key);
        let mut inside = Command::new("sh");
        inside
            .args([
                "-ec",
                "JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) exec \"$@\"",
                "sh",
            ])
            .arg(spiped.get_program())
            .args(spiped.get_args())
            .args(args);
        let command = in_private_view(&site.dir, &inside);
        let daemon = Program::serving(&site.dir, "e", command, &site.source);
        Self { site, daemon }
    }

    fn socket(site: &Site) -> PathBuf {
        site.dir.join("run/systemd/journal/socket")
    }

    fn journal(site: &Site) -> UnixDatagram {
        let journal = UnixDatagram::bind(Self::socket(site)).unwrap();
        journal.set_read_timeout(Some(testbed::PATIENCE)).unwrap();
        journal
    }

    /// A connection that fails, and is closed, whatever becomes of the line about it.
    fn fail(&self) {
        Duplex::connect(&self.site.source).rx.expect_nothing();
    }
}

/// The next entry with such a field.
fn entry(journal: &UnixDatagram, field: &str) -> String {
    let mut entry = [0; 8192];
    loop {
        let length = journal.recv(&mut entry).unwrap();
        let entry = String::from_utf8(entry[..length].to_vec()).unwrap();
        if entry.lines().any(|line| line.starts_with(field)) {
            return entry;
        }
    }
}

#[test]
fn the_journal_gets_fields_where_standard_error_is_the_journal() {
    testbed::need!("root", "unshare --mount");
    let mut journal = None;
    let journaled = Journaled::start(&testbed::ours!(), &[], |site| {
        journal = Some(Journaled::journal(site));
    });
    journaled.fail();
    let entry = entry(&journal.unwrap(), "SPIPED_OUTCOME=dial-failed");
    let lines: Vec<_> = entry.lines().collect();
    let pipe = format!("SPIPED_PIPE={}", journaled.site.source);
    for line in [
        "PRIORITY=4",
        "SYSLOG_IDENTIFIER=spiped",
        "SPIPED_CLASS=dial",
        "SPIPED_MODE=encrypt",
        "SPIPED_BYTES_FROM_SOURCE=0",
        &pipe,
    ] {
        assert!(lines.contains(&line), "{line} in {entry}");
    }
    assert!(lines[0].starts_with("MESSAGE=connection from ["), "{entry}");
    assert!(entry.contains("\nSPIPED_PEER=[127.0.0.1]:"), "{entry}");
    assert_eq!(journaled.daemon.stderr(), "");
}

#[test]
fn plain_text_goes_to_standard_error_if_asked_for_or_if_the_journal_is_not_there() {
    testbed::need!("root", "unshare --mount");
    let ours = testbed::ours!();
    let asked = Journaled::start(&ours, &["--log-format=plain"], |site| {
        drop(Journaled::journal(site));
    });
    let absent = Journaled::start(&ours, &[], |_| {});
    for daemon in [asked, absent] {
        daemon.fail();
        until("the line", || {
            daemon
                .daemon
                .stderr()
                .contains("cannot connect")
                .then_some(())
        });
    }
}

#[test]
fn a_journal_that_hangs_dies_and_comes_again_stalls_nobody() {
    testbed::need!("root", "unshare --mount");
    let mut first = None;
    let journaled = Journaled::start(&testbed::ours!(), &[], |site| {
        first = Some(Journaled::journal(site));
    });
    // Nobody reads, and there is no room.
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    filler.connect(Journaled::socket(&journaled.site)).unwrap();
    while filler.send(b"MESSAGE=more\n").is_ok() {}
    for _ in 0..20 {
        journaled.fail();
    }
    // Nobody is there.
    drop(first);
    journaled.fail();
    fs::remove_file(Journaled::socket(&journaled.site)).unwrap();
    let second = Journaled::journal(&journaled.site);
    // Behind the sandbox a new socket is reached as well.
    until("a line that gets through", || {
        journaled.fail();
        second.set_nonblocking(true).unwrap();
        second.recv(&mut [0; 8192]).ok()
    });
    assert_eq!(journaled.daemon.stderr(), "");
}
