//! What a running daemon tells of itself: metrics, health, status, and the outcome of a reload.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use testbed::{
    Address, Duplex, Echo, Listener, Maker, PATIENCE, Pattern, Program, Site, Transport, until,
};

/// Both ends of a pipe in one process that can be asked.
struct Seen {
    site: Site,
    source: Address,
    metrics: Address,
    _echo: Echo,
    daemon: Program,
    ours: Maker,
}

impl Seen {
    fn start(ours: &Maker) -> Self {
        Self::of(ours, "")
    }

    /// With more of the settings that are those of both pipes.
    fn of(ours: &Maker, more: &str) -> Self {
        let site = Site::new();
        let [source, middle, metrics] = std::array::from_fn(|_| Address::free_v4());
        let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
        let text = format!(
            "[defaults]\nkey = \"key\"\n{more}\
             [pipe.front]\nmode = \"encrypt\"\nsource = \"{source}\"\ntarget = \"{middle}\"\n\
             [pipe.back]\nmode = \"decrypt\"\nsource = \"{middle}\"\ntarget = \"{}\"\n",
            echo.address()
        );
        let file = site.dir.write("pipes.toml", text);
        let mut command = ours.bare_spiped();
        command.arg("--config").arg(file);
        command.args(["--metrics", &metrics.to_string(), "--control"]);
        command.arg(site.dir.join("control"));
        let daemon = Program::serving(&site.dir, "daemon", command, &metrics);
        let seen = Self {
            site,
            source,
            metrics,
            _echo: echo,
            daemon,
            ours: ours.clone(),
        };
        // Answered once pipes listen.
        seen.get("/healthz");
        seen
    }

    /// Head and body of the answer to a request.
    fn ask(&self, request: &str) -> (String, String) {
        let mut socket = TcpStream::connect(self.metrics.tcp()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    fn get(&self, path: &str) -> (String, String) {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }

    /// The value of a line of the metrics.
    fn metric(&self, series: &str) -> Option<f64> {
        let (_, body) = self.get("/metrics");
        let line = body.lines().find_map(|line| line.strip_prefix(series))?;
        line.trim().parse().ok()
    }

    fn command(&self, words: &[&str]) -> Output {
        let mut command = self.ours.bare_spiped();
        command
            .args(words)
            .arg("--control")
            .arg(self.site.dir.join("control"));
        command.output().unwrap()
    }

    fn status(&self) -> Value {
        let output = self.command(&["status", "--json"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A connection through the pipe that has echoed so many bytes.
    fn echoed(&self, length: u64) -> Duplex {
        let mut client = Duplex::connect(&self.source);
        client.tx.send(&mut Pattern::new(1), length);
        client.rx.expect(&mut Pattern::new(1), length);
        client
    }
}

fn status_of(answer: &(String, String)) -> &str {
    answer.0.lines().next().unwrap()
}

#[test]
fn metrics_count_what_was_done() {
    let seen = Seen::start(&testbed::ours!());
    let open = seen.echoed(5000);
    let mut ended = seen.echoed(3000);
    ended.tx.finish();
    ended.rx.expect_end();
    let stranger = TcpStream::connect(open_port(&seen)).unwrap();
    let series = |name: &str, pipe: &str, more: &str| {
        format!("spiped_{name}{{pipe=\"{pipe}\",key=\"\"{more}}} ")
    };
    for pipe in ["front", "back"] {
        until("the end of a connection", || {
            let done = series("connections_ended_total", pipe, ",outcome=\"done\"");
            (seen.metric(&done) == Some(1.0)).then_some(())
        });
        for (name, more, expected) in [
            ("traffic_bytes_total", ",direction=\"from_source\"", 8000.0),
            ("traffic_bytes_total", ",direction=\"to_source\"", 8000.0),
            ("handshakes_total", ",result=\"done\",protocol=\"2\"", 2.0),
            ("handshakes_total", ",result=\"done\",protocol=\"1\"", 0.0),
            (
                "handshakes_total",
                ",result=\"wrong-key\",protocol=\"\"",
                0.0,
            ),
            ("handshake_seconds_count", "", 2.0),
            ("handshake_seconds_bucket", ",le=\"+Inf\"", 2.0),
            ("dial_seconds_count", "", 2.0),
        ] {
            let series = series(name, pipe, more);
            assert_eq!(seen.metric(&series), Some(expected), "{series}");
        }
    }
    let active = |pipe| seen.metric(&series("connections_active", pipe, ""));
    assert_eq!(active("front"), Some(1.0));
    until("the stranger", || {
        let unproved = seen.metric("spiped_connections_unproved{pipe=\"back\"} ");
        (unproved == Some(1.0) && active("back") == Some(2.0)).then_some(())
    });
    drop(stranger);
    until("the stranger's end", || {
        let unused = series("connections_ended_total", "back", ",outcome=\"unused\"");
        (seen.metric(&unused) == Some(1.0)).then_some(())
    });
    let status = seen.status();
    assert_eq!(status["pipes"][0]["failed"], 0, "{status}");
    assert_eq!(
        seen.metric("spiped_connections_accepted_total{pipe=\"back\"} "),
        Some(3.0)
    );
    drop(open);
}

/// Where the decrypting pipe listens.
fn open_port(seen: &Seen) -> std::net::SocketAddr {
    let status = seen.status();
    let back = &status["pipes"][0];
    assert_eq!(back["name"], "back");
    let source = back["source"].as_str().unwrap();
    source.replace(['[', ']'], "").parse().unwrap()
}

#[test]
fn scrapers_get_the_format_that_they_ask_for() {
    let seen = Seen::start(&testbed::ours!());
    drop(seen.echoed(10));
    let (head, body) = seen.get("/metrics");
    assert!(
        head.to_lowercase()
            .contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(
        body.contains("# TYPE spiped_connections_accepted_total counter\n"),
        "{body}"
    );
    let (head, body) = seen.ask(
        "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text; version=1.0.0\r\n\r\n",
    );
    assert!(
        head.to_lowercase()
            .contains("content-type: application/openmetrics-text"),
        "{head}"
    );
    assert!(body.ends_with("# EOF\n"), "{body}");
}

#[test]
fn promtool_has_nothing_to_object_to() {
    testbed::need!("promtool");
    let seen = Seen::start(&testbed::ours!());
    drop(seen.echoed(10));
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut promtool = promtool
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (_, body) = seen.get("/metrics");
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(body.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}\n{body}");
    assert!(
        output.stderr.is_empty() && output.stdout.is_empty(),
        "{output:?}"
    );
}

#[test]
fn health_follows_the_daemon() {
    let seen = Seen::start(&testbed::ours!());
    assert_eq!(status_of(&seen.get("/healthz")), "HTTP/1.1 200 OK");
    assert_eq!(status_of(&seen.get("/readyz")), "HTTP/1.1 200 OK");
    let open = seen.echoed(10);
    seen.daemon.terminate();
    until("that it is not ready", || {
        let answer = seen.get("/readyz");
        (status_of(&answer) == "HTTP/1.1 503 Service Unavailable" && answer.1 == "draining\n")
            .then_some(())
    });
    assert_eq!(status_of(&seen.get("/healthz")), "HTTP/1.1 200 OK");
    drop(open);
    let mut seen = seen;
    assert!(seen.daemon.wait().success());
}

#[test]
fn who_may_see_metrics_may_do_nothing_else() {
    let seen = Seen::start(&testbed::ours!());
    for (request, expected) in [
        ("GET /status HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("POST /reload HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "405"),
        ("nonsense\r\n\r\n", "400"),
    ] {
        let answer = seen.ask(request);
        assert_eq!(
            status_of(&answer).split(' ').nth(1),
            Some(expected),
            "{request}"
        );
    }
    let control = fs::metadata(seen.site.dir.join("control")).unwrap();
    assert_eq!(control.permissions().mode() & 0o777, 0o600);
}

#[test]
fn requests_that_never_end_hold_up_nobody() {
    let seen = Seen::start(&testbed::ours!());
    let slow: Vec<_> = (0..10)
        .map(|_| {
            let mut socket = TcpStream::connect(seen.metrics.tcp()).unwrap();
            socket
                .write_all(b"GET /metrics HTTP/1.1\r\nHost: ")
                .unwrap();
            socket
        })
        .collect();
    let huge = format!("GET /{} HTTP/1.1\r\n", "x".repeat(1 << 20));
    let mut socket = TcpStream::connect(seen.metrics.tcp()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may be cut off before it is out.
    let _ = socket.write_all(huge.as_bytes());
    let mut answer = [0; 64];
    if let Ok(length @ 1..) = socket.read(&mut answer) {
        assert!(answer[..length].starts_with(b"HTTP/1.1 4"), "{answer:?}");
    }
    assert_eq!(status_of(&seen.get("/healthz")), "HTTP/1.1 200 OK");
    drop(seen.echoed(1000));
    drop(slow);
}

#[test]
fn status_shows_what_runs() {
    let seen = Seen::start(&testbed::ours!());
    let _open = seen.echoed(123_456);
    let status = seen.status();
    assert_eq!(status["pid"], seen.daemon.pid());
    assert_eq!(status["phase"], "serving");
    let front = &status["pipes"][1];
    assert_eq!(
        (&front["name"], &front["mode"]),
        (&"front".into(), &"encrypt".into())
    );
    assert_eq!(front["active"], 1);
    assert_eq!(front["connections"][0]["from_source"], 123_456);
    assert!(front["connections"][0]["handshake"].as_f64().unwrap() > 0.0);
    let output = seen.command(&["status", "--connections"]);
    let table = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].contains(", serving for "), "{table}");
    let line = |name: &str| {
        let line = lines.iter().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(line("PIPE")[..4], ["PIPE", "MODE", "SOURCE", "ACTIVE"]);
    assert_eq!(
        line("front ")[3..],
        ["1", "0", "0", "120.6", "KiB", "120.6", "KiB"]
    );
    assert!(table.contains("\nfront\nPEER "), "{table}");
}

#[test]
fn the_version_of_a_connection_is_seen_in_status_and_metrics() {
    for version in [1, 2] {
        let seen = Seen::of(&testbed::ours!(), &format!("protocol = {version}\n"));
        let mut open = seen.echoed(10);
        let status = seen.status();
        for pipe in [0, 1] {
            let connection = &status["pipes"][pipe]["connections"][0];
            assert_eq!(connection["protocol"], version, "{status}");
        }
        let output = seen.command(&["status", "--connections"]);
        let table = String::from_utf8(output.stdout).unwrap();
        let rows = table
            .lines()
            .filter(|line| line.starts_with("[127.0.0.1]:"));
        let rows: Vec<_> = rows.collect();
        assert_eq!(rows.len(), 2, "{table}");
        for row in rows {
            let last = row.split_whitespace().last();
            assert_eq!(last, Some(&*version.to_string()), "{table}");
        }
        open.tx.finish();
        open.rx.expect_end();
        for pipe in ["front", "back"] {
            let series = |version| {
                let labels = format!("pipe=\"{pipe}\",key=\"\",result=\"done\"");
                format!("spiped_handshakes_total{{{labels},protocol=\"{version}\"}} ")
            };
            until("the end of the connection", || {
                (seen.metric(&series(version)) == Some(1.0)).then_some(())
            });
            assert_eq!(seen.metric(&series(3 - version)), Some(0.0));
        }
    }
}

#[test]
fn a_reload_that_is_asked_for_tells_its_outcome() {
    let seen = Seen::start(&testbed::ours!());
    let _open = seen.echoed(10);
    let output = seen.command(&["reload"]);
    assert_eq!(
        (output.status.code(), &output.stdout[..]),
        (Some(0), &b"2 pipes: 0 added, 0 changed, 0 removed\n"[..])
    );
    fs::write(seen.site.dir.join("pipes.toml"), "[pipe.x]\nmode = 3\n").unwrap();
    let output = seen.command(&["reload"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(told.lines().count(), 4, "{told}");
    assert!(
        told.contains("pipes.toml:2:8: mode: a string is needed"),
        "{told}"
    );
    assert_eq!(
        seen.metric("spiped_reloads_total{result=\"done\"} "),
        Some(1.0)
    );
    assert_eq!(
        seen.metric("spiped_reloads_total{result=\"failed\"} "),
        Some(1.0)
    );
    drop(seen.echoed(10));
}

#[test]
fn asking_where_nobody_is_fails_in_one_line() {
    let ours = testbed::ours!();
    let site = Site::new();
    for words in [["status"], ["reload"]] {
        let mut command = ours.bare_spiped();
        command
            .args(words)
            .arg("--control")
            .arg(site.dir.join("absent"));
        let output = command.output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), told.lines().count()),
            (Some(1), 1),
            "{told}"
        );
        assert!(told.contains("absent: no such file or directory"), "{told}");
    }
}
