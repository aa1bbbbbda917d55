//! A start that waits for something ends as soon as it is asked to, and one that can never come to
//! anything ends by itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::stat::Mode as FileMode;
use nix::unistd::mkfifo;
use socket2::{Domain, SockAddr, Socket, Type};
use testbed::{
    Address, Maker, Mode, PATIENCE, Program, Signal, Site, TempDir, in_private_view, until,
};

testbed::for_both![
    a_socket_of_a_program_that_accepts_nothing_is_in_use,
    a_start_that_waits_for_its_key_ends_when_it_is_asked_to,
    a_start_that_waits_for_a_name_server_ends_when_it_is_asked_to,
    one_that_waits_for_names_in_the_background_ends_when_it_is_asked_to,
];

/// A socket of a program that is stopped: as many wait in front of it as may.
struct Stopped {
    path: PathBuf,
    _listener: Socket,
    _waiting: Vec<Socket>,
}

impl Stopped {
    fn at(path: PathBuf) -> Self {
        let address = SockAddr::unix(&path).unwrap();
        let socket = || Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        let listener = socket();
        listener.bind(&address).unwrap();
        listener.listen(1).unwrap();
        let mut waiting = Vec::new();
        until("a full queue", || {
            let one = socket();
            one.set_nonblocking(true).unwrap();
            let connected = one.connect(&address);
            waiting.push(one);
            connected.is_err().then_some(())
        });
        Self {
            path,
            _listener: listener,
            _waiting: waiting,
        }
    }
}

fn a_socket_of_a_program_that_accepts_nothing_is_in_use(maker: &Maker) {
    let site = Site::new();
    let stopped = Stopped::at(site.dir.join("socket"));
    let source = Address::Unix(stopped.path.clone());
    let command = maker.spiped(Mode::Encrypt, &source, &site.target, &site.key);
    let (status, stderr) = Program::run(&site.dir, "e", command);
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("in use"), "{stderr}");
    assert!(stopped.path.exists());
}

#[test]
fn a_control_socket_of_a_program_that_accepts_nothing_is_in_use() {
    let site = Site::new();
    let stopped = Stopped::at(site.dir.join("socket"));
    let ours = testbed::ours!();
    let mut command = ours.spiped(Mode::Encrypt, &site.source, &site.target, &site.key);
    command.arg("-F").arg("--control").arg(&stopped.path);
    let (status, stderr) = Program::run(&site.dir, "e", command);
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("in use"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn asking_a_daemon_that_is_stopped_fails_in_one_line() {
    let site = Site::new();
    let full = Stopped::at(site.dir.join("full"));
    // This one lets everybody connect, and never says a word.
    let silent = site.dir.join("silent");
    let _silent = std::os::unix::net::UnixListener::bind(&silent).unwrap();
    for socket in [&full.path, &silent] {
        let mut status = testbed::ours!().bare_spiped();
        status.arg("status").arg("--control").arg(socket);
        let (status, stderr) = Program::run(&site.dir, "status", status);
        assert_eq!(status.code(), Some(1), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(&socket.display().to_string()), "{stderr}");
        assert!(stderr.contains("does not answer"), "{stderr}");
    }
    let mut reload = testbed::ours!().bare_spiped();
    reload.arg("reload").arg("--control").arg(&full.path);
    let (status, stderr) = Program::run(&site.dir, "reload", reload);
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("does not answer"), "{stderr}");
}

fn fifo(dir: &TempDir) -> PathBuf {
    let path = dir.join("fifo");
    mkfifo(&path, FileMode::S_IRUSR | FileMode::S_IWUSR).unwrap();
    path
}

/// Has it get to where it waits, and asks it to end.
#[track_caller]
fn ends_when_it_is_asked_to(mut program: Program) {
    testbed::proc::waits(program.pid());
    assert!(program.is_running(), "{}", program.stderr());
    program.terminate();
    let status = program.wait();
    assert!(!status.success(), "{status}");
    assert_eq!(status.signal(), Some(Signal::SIGTERM as i32));
}

fn a_start_that_waits_for_its_key_ends_when_it_is_asked_to(maker: &Maker) {
    for background in [true, false] {
        let site = Site::new();
        let key = fifo(&site.dir);
        let mut d = maker.spiped(Mode::Decrypt, &site.source, &site.target, &key);
        d.args((!background).then_some("-F"));
        ends_when_it_is_asked_to(Program::start(&site.dir, "d", d));
    }
}

#[test]
fn a_start_that_waits_for_its_key_or_settings_ends_when_it_is_asked_to() {
    let ours = testbed::ours!();
    let start = |command: Command, site: &Site| Program::start(&site.dir, "d", command);
    // More of the key never comes.
    let site = Site::new();
    let key = fifo(&site.dir);
    let d = ours.spiped(Mode::Decrypt, &site.source, &site.target, &key);
    let program = start(d, &site);
    let _writer = std::fs::OpenOptions::new().write(true).open(&key).unwrap();
    ends_when_it_is_asked_to(program);

    let site = Site::new();
    let mut d = ours.bare_spiped();
    d.arg("-F").arg("--config").arg(fifo(&site.dir));
    ends_when_it_is_asked_to(start(d, &site));

    let site = Site::new();
    let spipe = ours.spipe(&site.source, &fifo(&site.dir));
    ends_when_it_is_asked_to(start(spipe, &site));
}

/// The kernel has no default for signals to the first process of a container.
#[test]
fn the_first_process_of_a_container_ends_too() {
    testbed::need!("root", "unshare --pid --fork --mount-proc");
    let site = Site::new();
    let d = testbed::ours!().spiped(Mode::Decrypt, &site.source, &site.target, &fifo(&site.dir));
    let mut inside = Command::new("unshare");
    inside.args(["--pid", "--fork", "--mount-proc"]);
    inside.arg(d.get_program()).args(d.get_args()).arg("-F");
    let mut outer = Program::start(&site.dir, "d", inside);
    let first = until("the first process", || {
        let pid = outer.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let first = children.ok()?.trim_end().parse().ok()?;
        let name = testbed::proc::name(first)?;
        (name == "spiped").then_some(first)
    });
    testbed::proc::waits(first);
    testbed::signal(first, Signal::SIGTERM);
    assert!(!outer.wait().success());
}

/// A name server that is there and never says a word.
struct Silence {
    socket: UdpSocket,
}

impl Silence {
    fn at(site: &Site, last: u8) -> Self {
        let ip = Ipv4Addr::new(127, 77, 4, last);
        let resolver = format!("nameserver {ip}\noptions timeout:60\n");
        site.dir.write("resolv.conf", resolver);
        let socket = UdpSocket::bind((ip, 53)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    fn is_asked(&self) {
        self.socket.recv(&mut [0; 500]).unwrap();
    }
}

fn to_a_name(maker: &Maker, site: &Site, args: &[&str]) -> Command {
    let mut command = maker.bare_spiped();
    command.args([
        "-d",
        "-s",
        &site.source.to_string(),
        "-t",
        "silent.invalid:1",
        "-k",
    ]);
    command.arg(&site.key).args(args);
    in_private_view(&site.dir, &command)
}

/// Each maker has a server of its own.
fn own(maker: &Maker, number: u8) -> u8 {
    let is_c = maker.bare_spiped().get_program() == Path::new("/usr/bin/spiped");
    number + 2 * u8::from(is_c)
}

fn a_start_that_waits_for_a_name_server_ends_when_it_is_asked_to(maker: &Maker) {
    testbed::need!("root", "unshare --mount");
    let site = Site::new();
    let silence = Silence::at(&site, own(maker, 1));
    let program = Program::start(&site.dir, "d", to_a_name(maker, &site, &["-F"]));
    silence.is_asked();
    ends_when_it_is_asked_to(program);
}

fn one_that_waits_for_names_in_the_background_ends_when_it_is_asked_to(maker: &Maker) {
    testbed::need!("root", "unshare --mount");
    let site = Site::new();
    let silence = Silence::at(&site, own(maker, 2));
    let pidfile = site.dir.join("pid");
    let pid = pidfile.display().to_string();
    let command = to_a_name(maker, &site, &["-D", "-p", &pid]);
    let daemon = testbed::Daemonized::start(&site.dir, "d", command, &pidfile);
    silence.is_asked();
    daemon.terminate();
    daemon.wait();
}
