//! A listening socket that is passed to the daemon, and daemons that follow one another on it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Command;

use testbed::{
    Address, Duplex, Echo, Listener, Load, Maker, Mode, Plan, Program, Site, Transport, proc,
};

fn encrypting(ours: &Maker, source: &Address, target: &Address, site: &Site) -> Command {
    let mut command = ours.spiped(Mode::Encrypt, source, target, &site.key);
    command.args(["-F", "-n", "0"]);
    command
}

#[test]
fn a_passed_socket_is_listened_on() {
    let ours = testbed::ours!();
    for transport in [Transport::V4, Transport::V6, Transport::Unix] {
        let site = Site::new();
        let source = Address::free(transport, &site.dir, "passed");
        let socket: OwnedFd = match &source {
            Address::Tcp(address) => TcpListener::bind(address).unwrap().into(),
            Address::Unix(path) => UnixListener::bind(path).unwrap().into(),
        };
        let target = Listener::bind(Transport::V4, &site.dir);
        let program = encrypting(&ours, &source, target.address(), &site);
        let mut program = Program::passed(&site.dir, "e", &program, socket, "1");
        let _client = Duplex::connect(&source);
        target.accept();
        program.terminate();
        // The other end is no spiped, so nothing goes on.
        drop(target);
        program.wait();
    }
}

#[test]
fn what_is_passed_wrongly_fails_the_start() {
    let ours = testbed::ours!();
    let site = Site::new();
    let program = encrypting(&ours, &site.source, &site.target, &site);
    let elsewhere = || TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = elsewhere();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let file = std::fs::File::open(&site.key).unwrap();
    for (socket, fds, why) in [
        (elsewhere().into(), "1", "listens elsewhere"),
        (connected.into(), "1", "no listening socket"),
        (file.into(), "1", "cannot listen on"),
        (elsewhere().into(), "2", "passes 2 sockets"),
    ] {
        let mut program = Program::passed(&site.dir, "e", &program, socket, fds);
        assert_eq!(program.wait().code(), Some(1), "{why}");
        let stderr = program.stderr();
        assert!(stderr.contains(why), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

/// It was meant for whoever started this process.
#[test]
fn a_socket_for_another_process_is_none() {
    let ours = testbed::ours!();
    let site = Site::new();
    let mut command = encrypting(&ours, &site.source, &site.target, &site);
    command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    let mut program = Program::start(&site.dir, "e", command);
    program.listens_on(&site.source);
}

/// Daemons are replaced under load: each new one is up before the old one is asked to end, both with
/// the same socket. Every connection works, and one lives through all of it.
#[test]
fn daemons_replace_one_another_and_no_connection_fails() {
    const CLIENTS: u64 = 4;
    const REPLACEMENTS: usize = 4;
    const BETWEEN: usize = 40;

    let ours = testbed::ours!();
    let site = Site::new();
    let echo = Echo::serve(Listener::bind(Transport::V4, &site.dir));
    let key = std::fs::read(&site.key).unwrap();
    let plan = Plan::new(&ours, &ours).server_key(key).to(echo.address());
    let far = plan.server_args(&["-n", "0"]).start();

    let socket = TcpListener::bind(site.source.tcp()).unwrap();
    let start = |number: usize| {
        let command = encrypting(&ours, &site.source, far.middle(), &site);
        let socket = socket.try_clone().unwrap().into();
        let mut program = Program::passed(&site.dir, &format!("e{number}"), &command, socket, "1");
        program.is_up();
        program
    };
    let mut daemons = vec![start(0)];
    let load = Load::on(&site.source, CLIENTS, 1);
    for number in 1..=REPLACEMENTS {
        load.go_on(BETWEEN);
        daemons.push(start(number));
        daemons[number - 1].terminate();
    }
    load.go_on(BETWEEN);
    println!("{} connections", load.end());

    let last = daemons.pop().unwrap();
    for mut old in daemons {
        assert_eq!(old.wait().code(), Some(0), "{}", old.stderr());
        // The line about the sandbox, and no other.
        assert_eq!(old.stderr().lines().count(), 1, "{}", old.stderr());
    }
    assert!(proc::is_listening(&site.source));
    drop(last);
}
