//! Whoever only looks who is there, at a pipe to a server that speaks first.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use testbed::{Address, Duplex, Mode, Program, Site, until};

/// A server that greets, and then listens until the client has gone.
fn greeting_server(greeting: &'static [u8]) -> Address {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let _ = stream.write_all(greeting);
                let _ = stream.read_to_end(&mut Vec::new());
            });
        }
    });
    address
}

/// Both daemons of a pipe, with a level at which all ends are told.
fn pair(site: &Site, target: &Address) -> [Program; 2] {
    let ours = testbed::ours!();
    let middle = Address::free_v4();
    let start = |mode, name, source: &Address, target: &Address| {
        let mut command = ours.spiped(mode, source, target, &site.key);
        command.args(["--log-level", "info"]);
        Program::serving(&site.dir, name, command, source)
    };
    let d = start(Mode::Decrypt, "d", &middle, target);
    let e = start(Mode::Encrypt, "e", &site.source, &middle);
    [d, e]
}

fn lines(daemon: &Program) -> Vec<String> {
    let told = daemon.stderr();
    let lines = told.lines().filter(|line| line.contains("connection from"));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_scan_that_reads_no_greeting_is_a_connection_without_a_byte() {
    let site = Site::new();
    let target = greeting_server(b"220 hello\r\n");
    let daemons = pair(&site, &target);
    for _ in 0..3 {
        let client = Duplex::connect(&site.source);
        // The greeting is there, and the client goes away without having read it.
        assert!(client.rx.is_ready_within(testbed::PATIENCE));
        drop(client);
    }
    for daemon in &daemons {
        until("three lines", || (lines(daemon).len() >= 3).then_some(()));
        for line in lines(daemon) {
            assert!(line.contains("before its first byte"), "{line}");
        }
    }
}

#[test]
fn a_client_that_has_spoken_and_breaks_off_is_told_of() {
    let site = Site::new();
    let target = greeting_server(b"220 hello\r\n");
    let [_d, e] = pair(&site, &target);
    let mut client = Duplex::connect(&site.source);
    client.tx.send(&mut testbed::Pattern::new(1), 10);
    assert!(client.rx.is_ready_within(testbed::PATIENCE));
    client.reset();
    until("a line", || (!lines(&e).is_empty()).then_some(()));
    assert!(lines(&e)[0].contains("broke"), "{:?}", lines(&e));
}

#[test]
fn a_stream_that_breaks_after_more_than_a_greeting_is_told_of() {
    let site = Site::new();
    let target = greeting_server(&[b'x'; 100_000]);
    let [_d, e] = pair(&site, &target);
    let mut client = TcpStream::connect(site.source.tcp()).unwrap();
    client.read_exact(&mut [0; 50_000]).unwrap();
    drop(client);
    until("a line", || (!lines(&e).is_empty()).then_some(()));
    assert!(lines(&e)[0].contains("broke"), "{:?}", lines(&e));
}
