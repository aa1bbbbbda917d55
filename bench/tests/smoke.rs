//! The bench as a program, with the bare connection alone: it needs no peer to be installed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Ends the bench even when a test fails.
struct Bench(Child);

impl Drop for Bench {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn bench(dir: &Path, arguments: &[&str]) -> Command {
    let files = dir.join("files");
    fs::create_dir(&files).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_spiped-bench"));
    command
        .env("TMPDIR", files)
        .args(["--peers", "bare", "--out"])
        .arg(dir.join("out"))
        .args(arguments);
    command
}

/// Nothing that a run needed is left behind.
fn assert_tidy(dir: &Path) {
    let left = fs::read_dir(dir.join("files")).unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn a_short_run_writes_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = [
        "--rounds",
        "2",
        "--workloads",
        "up-8,down-1,ping-1,connect-1",
    ];
    let output = bench(dir.path(), &arguments).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(told.contains("8 streams up"), "{told}");
    assert!(told.contains("bare connection"), "{told}");

    let read = |name: &str| fs::read_to_string(dir.path().join("out").join(name)).unwrap();
    let json: Value = serde_json::from_str(&read("RESULT.json")).unwrap();
    assert_eq!(json["failures"], Value::Array(Vec::new()));
    assert!(json["machine"]["cores"].as_u64() > Some(0));
    let rows = json["results"].as_array().unwrap();
    for (workload, metric) in [
        ("up-8", "throughput"),
        ("down-1", "throughput"),
        ("ping-1", "p99"),
        ("connect-1", "connections"),
    ] {
        let row = rows
            .iter()
            .find(|row| row["workload"] == workload && row["metric"] == metric)
            .unwrap();
        assert_eq!(row["samples"].as_array().unwrap().len(), 2, "{workload}");
        assert!(row["median"].as_f64() > Some(0.0), "{workload}");
    }
    assert!(read("RESULT.md").contains("| bare connection |"));
    let svg = read("RESULT.svg");
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    assert!(svg.contains(">8 streams up</text>"));
    assert_tidy(dir.path());
}

#[test]
fn a_wire_makes_every_round_trip_late() {
    testbed::need!("root", "ip", "socat", "unshare --net");
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--rounds", "1", "--workloads", "connect-far"];
    let output = bench(dir.path(), &arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let json = fs::read(dir.path().join("out/RESULT.json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    let rows = json["results"].as_array().unwrap();
    let trips = rows.iter().find(|row| row["metric"] == "round_trips");
    // One to connect and one for the echo; a busy machine can only make it more.
    let trips = trips.unwrap()["median"].as_f64();
    assert!(trips >= Some(2.0), "{trips:?}");
    assert_tidy(dir.path());
}

#[test]
fn ctrl_c_ends_a_run_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = bench(dir.path(), &["--rounds", "1000", "--workloads", "ping-1"]);
    let mut bench = Bench(command.stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(bench.0.stderr.take().unwrap()).lines();
    // Measurements are under way.
    lines
        .find(|line| line.as_ref().unwrap().starts_with('['))
        .unwrap()
        .unwrap();
    kill(Pid::from_raw(bench.0.id() as i32), Signal::SIGINT).unwrap();
    assert!(!bench.0.wait().unwrap().success());
    let last = lines.last().unwrap().unwrap();
    assert!(last.ends_with("interrupted"), "{last}");
    assert_tidy(dir.path());
}

#[test]
fn nothing_to_measure_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let output = bench(dir.path(), &["--workloads", "idle-1000"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("nothing to measure"), "{errors}");
}
