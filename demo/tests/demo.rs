//! The demo, with stand-ins for the ends of the tunnel: one that does as it should, and others
//! that do what the demo is there to find.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio, exit};
use std::thread;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testbed::TempDir;

/// What the demo is built as.
const DEMO: &str = env!("CARGO_BIN_EXE_spiped-demo");

/// Tells the stand-ins how to behave.
const BEHAVIOUR: &str = "STAND_IN_BEHAVIOUR";

/// Not a test but what [`stand_in`](tests/stand-in) runs in place of spiped, with its arguments in
/// the environment.
#[test]
fn stand_in() {
    let Ok(arguments) = std::env::var("STAND_IN_ARGUMENTS") else {
        return;
    };
    match arguments.split(' ').collect::<Vec<_>>()[..] {
        ["keygen", path] => fs::write(path, testbed::sha256(path.as_bytes())).unwrap(),
        ["-e", "-F", ref options @ ..] => end(false, options),
        ["-d", "-F", ref options @ ..] => end(true, options),
        _ => panic!("{arguments}"),
    }
}

/// A stand-in for an end of the tunnel. It relays plaintext; the encrypting end sends its key
/// ahead, and the decrypting end closes the connection when that is not its own.
fn end(decrypts: bool, options: &[&str]) {
    let behaviour = std::env::var(BEHAVIOUR).unwrap();
    if behaviour == "die" {
        eprintln!("\nspiped: not today");
        exit(3);
    }
    let options: HashMap<&str, &str> = options.chunks(2).map(|pair| (pair[0], pair[1])).collect();
    let key = match behaviour.as_str() {
        "keyless" => vec![0; 32],
        _ => fs::read(options["-k"]).unwrap(),
    };
    let listener = TcpListener::bind(options["-s"].replace(['[', ']'], "")).unwrap();
    let target = options["-t"].replace(['[', ']'], "");
    for source in listener.incoming() {
        let (key, target) = (key.clone(), target.clone());
        let damage = decrypts && behaviour == "damage";
        thread::spawn(move || serve(&source?, &target, &key, decrypts, damage));
    }
}

fn serve(
    mut source: &TcpStream,
    target: &str,
    key: &[u8],
    decrypts: bool,
    damage: bool,
) -> io::Result<()> {
    if decrypts {
        let mut offered = [0; 32];
        source.read_exact(&mut offered)?;
        if offered != key {
            return Ok(());
        }
    }
    let target = TcpStream::connect(target)?;
    if !decrypts {
        (&target).write_all(key)?;
    }
    thread::scope(|scope| {
        scope.spawn(|| copy(source, &target, damage));
        copy(&target, source, false);
    });
    Ok(())
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, damage: bool) {
    let mut buffer = vec![0; 65536];
    let mut position: u64 = 0;
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let before = position;
        position += count as u64;
        if damage && (before..position).contains(&500_000) {
            buffer[(500_000 - before) as usize] ^= 1;
        }
        if to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// A demo that is about to start, and the directory where it puts its own.
fn demo(behaviour: &str, size: &str) -> (Command, TempDir) {
    let dir = TempDir::new();
    let mut command = Command::new(DEMO);
    command
        .args(["--size", size, "--spiped"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand-in"))
        .env("STAND_IN", std::env::current_exe().unwrap())
        .env(BEHAVIOUR, behaviour)
        .env("TMPDIR", dir.path())
        .stdin(Stdio::null());
    (command, dir)
}

/// Runs a demo of 3 MiB, which must leave nothing behind.
fn outcome(behaviour: &str) -> (Output, String) {
    let (command, dir) = demo(behaviour, "3");
    run(command, &dir)
}

fn run(mut command: Command, dir: &TempDir) -> (Output, String) {
    let output = command.output().unwrap();
    assert_eq!(left_in(dir), 0, "something is left in {dir:?}");
    let told = String::from_utf8(output.stdout.clone()).unwrap();
    for id in processes(&told) {
        assert_eq!(kill(id, None), Err(Errno::ESRCH), "process {id} still runs");
    }
    (output, told)
}

fn left_in(dir: &TempDir) -> usize {
    fs::read_dir(dir.path()).unwrap().count()
}

fn processes(told: &str) -> Vec<Pid> {
    let ids = told
        .split("(process ")
        .skip(1)
        .map(|rest| rest.split_once(')').unwrap().0);
    ids.map(|id| Pid::from_raw(id.parse().unwrap())).collect()
}

fn error_of(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn demo_shows_a_tunnel_that_works() {
    let (output, told) = outcome("honest");
    assert_shows_all(output, &told);
}

/// The one test with spiped itself, which is there once the workspace is built.
#[test]
fn demo_shows_spiped() {
    let spiped = Path::new(DEMO).with_file_name("spiped");
    testbed::need!(spiped.to_str().unwrap());
    let dir = TempDir::new();
    let mut command = Command::new(DEMO);
    command
        .args(["--size", "3", "--spiped"])
        .arg(spiped)
        .env("TMPDIR", dir.path());
    let (output, told) = run(command, &dir);
    assert_shows_all(output, &told);
}

fn assert_shows_all(output: Output, told: &str) {
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "",
        "no bar where nobody watches"
    );
    assert_eq!(processes(told).len(), 2, "{told}");
    for words in [
        "3 MiB there and back",
        "intact",
        "was turned away",
        "All is well",
    ] {
        assert!(told.contains(words), "{words} is missing in:\n{told}");
    }
}

#[test]
fn demo_finds_damaged_data() {
    let (output, told) = outcome("damage");
    assert_eq!(
        error_of(&output),
        "spiped-demo: other data the target got than was sent\n"
    );
    assert!(!told.contains("intact"), "{told}");
}

#[test]
fn demo_finds_a_wrong_key_let_in() {
    let (output, told) = outcome("keyless");
    assert_eq!(
        error_of(&output),
        "spiped-demo: a peer with a wrong key was let in\n"
    );
    assert!(!told.contains("wrong key"), "{told}");
}

#[test]
fn demo_tells_why_an_end_gave_up() {
    let (output, _) = outcome("die");
    assert_eq!(
        error_of(&output),
        "spiped-demo: spiped -d ended by itself (exit status: 3): spiped: not today\n"
    );
}

#[test]
fn demo_cleans_up_when_interrupted() {
    // So much that it cannot be over before the signal comes.
    let (mut command, dir) = demo("honest", "1000000");
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut told = String::new();
    while processes(&told).len() < 2 {
        assert!(
            stdout.read_line(&mut told).unwrap() > 0,
            "it ended early: {told}"
        );
    }
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(error_of(&output), "spiped-demo: interrupted\n");
    assert_eq!(left_in(&dir), 0);
    for id in processes(&told) {
        assert_eq!(kill(id, None), Err(Errno::ESRCH), "process {id} still runs");
    }
}

#[test]
fn demo_tells_what_it_lacks() {
    let (mut command, _dir) = demo("honest", "3");
    let output = command.env("TMPDIR", "/nonexistent").output().unwrap();
    assert_eq!(
        error_of(&output),
        "spiped-demo: cannot make a temporary directory in /nonexistent: No such file or \
         directory; set TMPDIR to a folder that you can write to\n"
    );
    let output = Command::new(DEMO)
        .args(["--spiped", "/nonexistent/spiped"])
        .output()
        .unwrap();
    let error = error_of(&output);
    assert!(
        error.starts_with("spiped-demo: there is no /nonexistent/spiped; name a spiped "),
        "{error}"
    );
}

#[test]
fn a_wrong_command_line_ends_it_at_once() {
    for arguments in [
        &["stray"][..],
        &["--size", "0"],
        &["--size"],
        &["--nonsense"],
    ] {
        let output = Command::new(DEMO).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
    }
    let help = Command::new(DEMO).arg("--help").output().unwrap();
    assert!(help.status.success() && help.stderr.is_empty(), "{help:?}");
}
