//! Who has connected is told to the target, by headers of the PROXY protocol.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod haproxy;
mod nginx;

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use testbed::{Address, Duplex, Maker, Mode, PATIENCE, Program, Site, Transport};

/// A target that the test plays.
struct Target {
    listener: TcpListener,
    address: Address,
}

impl Target {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::Tcp(listener.local_addr().unwrap());
        Self { listener, address }
    }

    fn accept(&self) -> TcpStream {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

fn connect(address: &Address) -> (TcpStream, SocketAddr) {
    let client = TcpStream::connect(address.tcp()).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let at = client.local_addr().unwrap();
    (client, at)
}

#[track_caller]
fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(got, bytes, "{:?}", String::from_utf8_lossy(&got));
}

/// Version 2, for IPv4.
fn binary(from: SocketAddr, to: SocketAddr, rest: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0".to_vec();
    header.push(12 + u8::try_from(rest.len()).unwrap());
    for end in [from, to] {
        match end.ip() {
            IpAddr::V4(ip) => header.extend(ip.octets()),
            IpAddr::V6(ip) => unreachable!("{ip}"),
        }
    }
    header.extend(from.port().to_be_bytes());
    header.extend(to.port().to_be_bytes());
    header.extend(rest);
    header
}

/// Both ends before a target; the first is ours and sends the header.
fn far_target_learns_the_client(far: &Maker) {
    let (site, target) = (Site::new(), Target::new());
    let command = far.spiped(Mode::Decrypt, &site.target, &target.address, &site.key);
    let _far = Program::serving(&site.dir, "far", command, &site.target);
    let mut command = testbed::ours!().spiped(Mode::Encrypt, &site.source, &site.target, &site.key);
    command.args(["--proxy-protocol", "v1", "--log-level", "info"]);
    let near = Program::serving(&site.dir, "near", command, &site.source);

    let (mut client, from) = connect(&site.source);
    client.write_all(b"question").unwrap();
    let mut served = target.accept();
    let to = site.source.tcp();
    let header = format!(
        "PROXY TCP4 {} {} {} {}\r\n",
        from.ip(),
        to.ip(),
        from.port(),
        to.port()
    );
    expect(&mut served, header.as_bytes());
    expect(&mut served, b"question");
    served.write_all(b"answer").unwrap();
    drop(served);
    expect(&mut client, b"answer");
    drop(client);
    expect_line(&near, "8 bytes to the target, 6 back");
}

#[test]
fn the_target_of_the_far_end_learns_who_the_client_is() {
    far_target_learns_the_client(&testbed::ours!());
}

#[test]
fn so_does_that_of_c_spiped() {
    if let Some(c) = Maker::c("so_does_that_of_c_spiped") {
        far_target_learns_the_client(&c);
    }
}

#[test]
fn the_target_learns_the_encrypted_peer_and_its_name() {
    let (site, target) = (Site::new(), Target::new());
    let keys = site.dir.join("keys");
    fs::create_dir(&keys).unwrap();
    fs::write(keys.join("alice.key"), fs::read(&site.key).unwrap()).unwrap();
    let ours = testbed::ours!();
    let mut command = ours.spiped(Mode::Decrypt, &site.target, &target.address, &keys);
    command.args(["--proxy-protocol=v2", "-b", "127.0.0.1"]);
    let _far = Program::serving(&site.dir, "far", command, &site.target);
    let mut command = ours.spiped(Mode::Encrypt, &site.source, &site.target, &site.key);
    command.args(["-b", "127.0.0.9"]);
    let _near = Program::serving(&site.dir, "near", command, &site.source);

    let (mut client, _) = connect(&site.source);
    client.write_all(b"question").unwrap();
    let mut served = target.accept();
    let mut header = [0; 28 + 8];
    served.read_exact(&mut header).unwrap();
    let port = u16::from_be_bytes([header[24], header[25]]);
    let from = SocketAddr::from(([127, 0, 0, 9], port));
    let expected = binary(from, site.target.tcp(), b"\xe0\0\x05alice");
    assert_eq!(header[..], expected);
    expect(&mut served, b"question");
}

/// Starts a program with one way from here to there, which tells there whom it serves.
type Start<'a> = &'a dyn Fn(&Site, &Address, &Address) -> Program;

/// Both ends, with a balancer before one of them, and a target, which is told whom that has served.
fn behind_a_balancer(balancer: Start<'_>, transport: Transport, end: Mode) {
    let (site, target) = (Site::new(), Target::new());
    let front = Address::free_v4();
    let entrance = Address::free(transport, &site.dir, "entrance");
    let networks = match transport {
        Transport::Unix => "--accept-proxy=10.0.0.0/8,unix",
        _ => "--accept-proxy=10.0.0.0/8,127.0.0.1",
    };
    let (source, middle, beyond) = match end {
        Mode::Encrypt => (&entrance, &site.target, &site.target),
        Mode::Decrypt => (&site.source, &front, &entrance),
    };
    let ours = testbed::ours!();
    let mut far = ours.spiped(Mode::Decrypt, beyond, &target.address, &site.key);
    far.args(["--log-level", "info"]);
    let mut near = ours.spiped(Mode::Encrypt, source, middle, &site.key);
    near.args(["--log-level", "info", "-b", "127.0.0.9"]);
    match end {
        Mode::Encrypt => near.args([networks, "--proxy-protocol=v1"]),
        Mode::Decrypt => far.args([networks, "--proxy-protocol=v2"]),
    };
    let far = Program::serving(&site.dir, "far", far, beyond);
    let near = Program::serving(&site.dir, "near", near, source);
    let _balancer = balancer(&site, &front, &entrance);

    let (mut client, from) = match end {
        Mode::Encrypt => connect(&front),
        Mode::Decrypt => connect(&site.source),
    };
    client.write_all(b"question").unwrap();
    let mut served = target.accept();
    match end {
        Mode::Encrypt => {
            let (from, to) = (from.port(), front.tcp().port());
            let header = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {to}\r\n");
            expect(&mut served, header.as_bytes());
        }
        Mode::Decrypt => {
            // The port is the encrypting end's affair, the address is not the balancer's.
            let mut header = [0; 28];
            served.read_exact(&mut header).unwrap();
            assert_eq!(header[16..24], [127, 0, 0, 9, 127, 0, 0, 1]);
            assert_eq!(header[26..28], front.tcp().port().to_be_bytes());
        }
    }
    expect(&mut served, b"question");
    drop(served);
    drop(client);
    match end {
        Mode::Encrypt => {
            let line = format!("connection from [127.0.0.1]:{}", from.port());
            expect_line(&near, &line);
        }
        Mode::Decrypt => expect_line(&far, "connection from [127.0.0.9]:"),
    }
}

/// An end that takes headers from 127.0.0.1 alone.
fn taking(site: &Site, target: &Target, mode: Mode, more: &[&str]) -> Program {
    let mut command = testbed::ours!().spiped(mode, &site.source, &target.address, &site.key);
    command.args(["--accept-proxy", "127.0.0.1"]).args(more);
    Program::serving(&site.dir, "taking", command, &site.source)
}

#[track_caller]
fn expect_line(program: &Program, line: &str) {
    testbed::until("a line about the connection", || {
        program.stderr().contains(line).then_some(())
    });
}

#[test]
fn who_is_no_balancer_is_refused() {
    for mode in [Mode::Encrypt, Mode::Decrypt] {
        let (site, target) = (Site::new(), Target::new());
        let end = taking(&site, &target, mode, &[]);
        let from = "127.0.0.2".parse().unwrap();
        let mut client = Duplex::connect_from(from, &site.source);
        let _ = client.tx.write_all(b"PROXY UNKNOWN\r\n");
        client.rx.expect_nothing();
        expect_line(&end, "it is from no network of --accept-proxy");
    }
}

#[test]
fn bad_headers_end_in_a_line() {
    for mode in [Mode::Encrypt, Mode::Decrypt] {
        let (site, target) = (Site::new(), Target::new());
        let end = taking(&site, &target, mode, &["-o", "0.5", "--log-format=json"]);
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        let mut damaged = binary(
            "192.0.2.1:1".parse().unwrap(),
            "192.0.2.2:2".parse().unwrap(),
            b"\x03\0\x04\0\0\0\0",
        );
        damaged.extend(b"question");
        let cases: [(&[u8], &str); 6] = [
            (b"GET / HTTP/1.1\r\n\r\n", "there is none"),
            (long.as_bytes(), "its line is too long"),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 9 99999\r\n", "not well formed"),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", "65535 bytes"),
            (&damaged, "its checksum (CRC32C) is wrong"),
            (b"PROXY TCP4 1.2", "within 500ms"),
        ];
        for (bytes, line) in cases {
            let mut client = Duplex::connect(&site.source);
            client.tx.write_all(bytes).unwrap();
            client.rx.expect_nothing();
            expect_line(&end, line);
        }
        let mut client = Duplex::connect(&site.source);
        client.tx.write_all(b"PROXY ").unwrap();
        client.tx.finish();
        client.rx.expect_nothing();
        testbed::until("a code for each", || {
            let code = "\"outcome\":\"bad-proxy-header\"";
            (end.stderr().matches(code).count() == 7).then_some(())
        });
    }
}

/// With one connection of `-n`, those that say nothing make nobody wait.
#[test]
fn silent_balancers_hold_no_slot() {
    let (site, target, far) = (Site::new(), Target::new(), Address::free_v4());
    let ours = testbed::ours!();
    let command = ours.spiped(Mode::Decrypt, &far, &target.address, &site.key);
    let _far = Program::serving(&site.dir, "far", command, &far);
    let mut command = ours.spiped(Mode::Encrypt, &site.source, &far, &site.key);
    command.args(["--accept-proxy=127.0.0.1", "-n1", "-o60"]);
    let _near = Program::serving(&site.dir, "near", command, &site.source);
    let _silent: Vec<_> = (0..5).map(|_| Duplex::connect(&site.source)).collect();
    let (mut client, _) = connect(&site.source);
    client.write_all(b"PROXY UNKNOWN\r\nquestion").unwrap();
    expect(&mut target.accept(), b"question");
}

/// Who comes first has to go first, however late its header is.
#[test]
fn a_late_header_leaves_less_time_for_the_handshake() {
    let (site, target) = (Site::new(), Target::new());
    let end = taking(&site, &target, Mode::Decrypt, &["-o1"]);
    let (mut late, first) = connect(&site.source);
    thread::sleep(Duration::from_millis(300));
    let (mut early, second) = connect(&site.source);
    early.write_all(b"PROXY UNKNOWN\r\n").unwrap();
    thread::sleep(Duration::from_millis(300));
    // Fails if its time is over already.
    let _ = late.write_all(b"PROXY UNKNOWN\r\n");
    let lines = [first, second].map(|from| {
        testbed::until("a line about each", || {
            let stderr = end.stderr();
            let mut lines = stderr.lines();
            lines.position(|line| line.contains(&format!("[127.0.0.1]:{}: ", from.port())))
        })
    });
    assert!(lines[0] < lines[1], "{}", end.stderr());
}

#[test]
fn who_makes_room_before_its_header_is_there_is_told_so() {
    let (site, target) = (Site::new(), Target::new());
    let end = taking(&site, &target, Mode::Encrypt, &["--max-unproved=1"]);
    let mut first = Duplex::connect(&site.source);
    let _second = Duplex::connect(&site.source);
    first.rx.expect_nothing();
    expect_line(
        &end,
        "as it had no header of the PROXY protocol yet (--max-unproved)",
    );
}

#[test]
fn a_source_where_nobody_could_connect_is_a_mistake() {
    let (site, unix) = (Site::new(), Address::Unix("/nowhere/source".into()));
    for (source, networks, line) in [
        (&unix, "10.0.0.0/8", "the source is a unix socket"),
        (&site.source, "unix", "the source is no unix socket"),
    ] {
        let mut command = testbed::ours!().spiped(Mode::Encrypt, source, &site.target, &site.key);
        command.args(["-F", "--accept-proxy", networks]);
        let (status, stderr) = Program::run(&site.dir, "mistaken", command);
        assert!(!status.success());
        assert!(stderr.contains(line), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}
