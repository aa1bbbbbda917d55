//! Many who ask a daemon at once, and take their time: whoever looks after it is answered all the same.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use testbed::{Address, PATIENCE, Program, Site};

/// As many as have a place at once.
const PLACES: usize = 16;

/// A daemon of pipes with many targets, whose paths are long.
struct Asked {
    site: Site,
    _daemon: Program,
}

impl Asked {
    fn start(pipes: usize) -> Self {
        let site = Site::new();
        let targets = |pipe| {
            let paths = (0..50).map(|number| format!("/{}/{pipe}-{number}", "long".repeat(24)));
            paths.collect::<Vec<_>>()
        };
        let mut text = "[defaults]\nmode = \"encrypt\"\nkey = \"key\"\n".to_owned();
        for pipe in 0..pipes {
            let source = site.dir.join(&pipe.to_string());
            writeln!(
                text,
                "[pipe.{pipe}]\nsource = {source:?}\ntarget = {:?}",
                targets(pipe)
            )
            .unwrap();
        }
        let file = site.dir.write("pipes.toml", text);
        let mut command = testbed::ours!().bare_spiped();
        command.arg("--config").arg(file);
        let control = site.dir.join("control");
        command.arg("--control").arg(&control);
        let daemon = Program::serving(&site.dir, "asked", command, &Address::Unix(control));
        Self {
            site,
            _daemon: daemon,
        }
    }

    fn connect(&self) -> UnixStream {
        let socket = UnixStream::connect(self.site.dir.join("control")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    fn ask(&self, path: &str) -> UnixStream {
        let mut socket = self.connect();
        write!(socket, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        socket
    }

    fn is_alive(&self) {
        let mut answer = String::new();
        self.ask("/healthz").read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("alive\n"), "{answer}");
    }

    fn command(&self, word: &str) -> Command {
        let mut command = testbed::ours!().bare_spiped();
        command.args([word, "--control"]);
        command.arg(self.site.dir.join("control"));
        command
    }
}

fn is_ended(mut socket: &UnixStream) {
    match socket.read(&mut [0]) {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn those_who_take_their_time_make_room() {
    // Their metrics are more than the system takes of an answer before it is read.
    let asked = Asked::start(40);
    let silent: Vec<_> = (0..PLACES).map(|_| asked.connect()).collect();
    asked.is_alive();
    let mut slow: Vec<_> = (0..PLACES).map(|_| asked.ask("/metrics")).collect();
    for socket in &mut slow {
        socket.read_exact(&mut [0]).unwrap();
    }
    silent.iter().for_each(is_ended);
    asked.is_alive();
    // One of them had to go for that, and the others have their time still.
    let (mut first, mut last) = (Vec::new(), Vec::new());
    let _ = slow.remove(0).read_to_end(&mut first);
    slow.pop().unwrap().read_to_end(&mut last).unwrap();
    assert!(first.len() < last.len(), "{} bytes", first.len());
    assert!(last.ends_with(b"\n"), "{} bytes", last.len());
}

/// Answers that nobody reads yet are held once for all.
#[test]
fn long_metrics_are_rendered_about_once_a_second() {
    let asked = Asked::start(40);
    let began = Instant::now();
    let mut slow: Vec<_> = (0..PLACES).map(|_| asked.ask("/metrics")).collect();
    for socket in &mut slow {
        socket.read_exact(&mut [0]).unwrap();
    }
    let most = 1 + began.elapsed().as_secs() as usize;
    let times = slow.into_iter().map(|mut socket| {
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let mut lines = answer.lines();
        let uptime = lines.find(|line| line.starts_with("spiped_uptime_seconds{"));
        uptime.unwrap().to_owned()
    });
    let times: HashSet<_> = times.collect();
    assert!(times.len() <= most, "{times:?}");
}

/// The key of a further pipe comes when others have asked for long.
#[test]
fn a_reload_is_not_ended_for_others() {
    let asked = Asked::start(1);
    let key = asked.site.dir.join("later.key");
    mkfifo(&key, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let file = asked.site.dir.join("pipes.toml");
    let mut text = fs::read_to_string(&file).unwrap();
    let source = asked.site.dir.join("later");
    writeln!(
        text,
        "[pipe.later]\nkey = {key:?}\nsource = {source:?}\ntarget = \"/nowhere\""
    )
    .unwrap();
    fs::write(&file, text).unwrap();
    let mut reload = asked.command("reload");
    let reload = reload.stdout(Stdio::piped()).spawn().unwrap();
    // This waits until the key is being read.
    let mut writer = fs::File::options().write(true).open(&key).unwrap();
    let silent: Vec<_> = (0..2 * PLACES).map(|_| asked.connect()).collect();
    assert!(asked.command("status").output().unwrap().status.success());
    is_ended(&silent[0]);
    writer.write_all(&[7; 32]).unwrap();
    drop(writer);
    let output = reload.wait_with_output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(told, "2 pipes: 1 added, 0 changed, 0 removed\n");
}
