//! The demo, with stand-ins for the ends of the tunnel: one that does as it should, and others
//! that do what the demo is there to find.

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::process::{Command, ExitCode, Output, Stdio};
use std::thread;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use spiped::commands::demo::{self, DemoOptions};
use spiped::log;

use crate::{Dir, Test, subject as command, temporary};

pub(crate) const TESTS: &[Test] = &[
    (
        "demo_shows_a_tunnel_that_works",
        demo_shows_a_tunnel_that_works,
    ),
    ("demo_finds_damaged_data", demo_finds_damaged_data),
    (
        "demo_finds_a_wrong_key_let_in",
        demo_finds_a_wrong_key_let_in,
    ),
    (
        "demo_tells_why_an_end_gave_up",
        demo_tells_why_an_end_gave_up,
    ),
    (
        "demo_cleans_up_when_interrupted",
        demo_cleans_up_when_interrupted,
    ),
];

/// Tells the stand-ins how to behave.
const BEHAVIOUR: &str = "SPIPED_TEST_BEHAVIOUR";

/// The process under test: runs the demo with this program as both ends.
pub(crate) fn subject(size: &str) -> ExitCode {
    let size: NonZeroU32 = size.parse().unwrap();
    match demo::run(&std::env::current_exe().unwrap(), &DemoOptions { size }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error_now(error);
            ExitCode::FAILURE
        }
    }
}

/// A stand-in for an end of the tunnel. It relays plaintext; the encrypting end sends its key
/// ahead, and the decrypting end closes the connection when that is not its own.
pub(crate) fn end(arguments: &[String]) -> ExitCode {
    let behaviour = std::env::var(BEHAVIOUR).unwrap();
    if behaviour == "die" {
        eprintln!("\nspiped: not today");
        return ExitCode::from(3);
    }
    assert_eq!(arguments[1], "-F");
    let options: HashMap<&str, &str> = arguments[2..]
        .chunks(2)
        .map(|pair| (pair[0].as_str(), pair[1].as_str()))
        .collect();
    let key = match behaviour.as_str() {
        "keyless" => vec![0; 32],
        _ => fs::read(options["-k"]).unwrap(),
    };
    let decrypts = arguments[0] == "-d";
    let listener = TcpListener::bind(options["-s"].replace(['[', ']'], "")).unwrap();
    let target = options["-t"].replace(['[', ']'], "");
    for source in listener.incoming() {
        let (key, target) = (key.clone(), target.clone());
        let damage = decrypts && behaviour == "damage";
        thread::spawn(move || serve(&source?, &target, &key, decrypts, damage));
    }
    ExitCode::SUCCESS
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
fn demo(behaviour: &str, size: &str) -> (Command, Dir) {
    let dir = temporary();
    let mut command = command("demo", size);
    command
        .env(BEHAVIOUR, behaviour)
        .env("TMPDIR", &dir.0)
        .stdin(Stdio::null());
    (command, dir)
}

/// Runs a demo of 3 MiB, which must leave nothing behind.
fn outcome(behaviour: &str) -> (Output, String) {
    let (mut command, dir) = demo(behaviour, "3");
    let output = command.output().unwrap();
    assert_eq!(
        fs::read_dir(&dir.0).unwrap().count(),
        0,
        "something is left in {:?}",
        dir.0
    );
    let told = String::from_utf8(output.stdout.clone()).unwrap();
    for id in processes(&told) {
        assert_eq!(kill(id, None), Err(Errno::ESRCH), "process {id} still runs");
    }
    (output, told)
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

fn demo_shows_a_tunnel_that_works() {
    let (output, told) = outcome("honest");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "",
        "no bar where nobody watches"
    );
    assert_eq!(processes(&told).len(), 2, "{told}");
    for words in [
        "3 MiB there and back",
        "intact",
        "was turned away",
        "All is well",
    ] {
        assert!(told.contains(words), "{words} is missing in:\n{told}");
    }
}

fn demo_finds_damaged_data() {
    let (output, told) = outcome("damage");
    assert_eq!(
        error_of(&output),
        "spiped: other data the target got than was sent\n"
    );
    assert!(!told.contains("intact"), "{told}");
}

fn demo_finds_a_wrong_key_let_in() {
    let (output, told) = outcome("keyless");
    assert_eq!(
        error_of(&output),
        "spiped: a peer with a wrong key was let in\n"
    );
    assert!(!told.contains("wrong key"), "{told}");
}

fn demo_tells_why_an_end_gave_up() {
    let (output, _) = outcome("die");
    assert_eq!(
        error_of(&output),
        "spiped: spiped -d ended by itself (exit status: 3): spiped: not today\n"
    );
}

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
    assert_eq!(error_of(&output), "spiped: interrupted\n");
    assert_eq!(fs::read_dir(&dir.0).unwrap().count(), 0);
    for id in processes(&told) {
        assert_eq!(kill(id, None), Err(Errno::ESRCH), "process {id} still runs");
    }
}
