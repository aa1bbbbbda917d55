//! Who has connected is told to the target, by headers of the PROXY protocol.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use testbed::{Address, Maker, Mode, PATIENCE, Program, Site, find};

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
    testbed::until("the line about the end", || {
        let line = "8 bytes to the target, 6 back";
        near.stderr().contains(line).then_some(())
    });
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

/// haproxy with one way from here to there.
fn haproxy(site: &Site, front: &Address, front_more: &str, to: &Address, to_more: &str) -> Program {
    let configuration = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 9s\n timeout server 9s\n\
         listen way\n bind {} {front_more}\n server there {} {to_more}\n",
        front.tcp(),
        to.tcp(),
    );
    let file = site.dir.write("haproxy.cfg", configuration);
    let mut command = Command::new(find("haproxy").unwrap());
    command.args(["-db", "-f"]).arg(file);
    let mut haproxy = Program::start(&site.dir, "haproxy", command);
    haproxy.listens_on(front);
    haproxy
}

#[test]
fn haproxy_understands_both_versions() {
    testbed::need!("haproxy");
    for version in ["v1", "v2"] {
        let (site, target) = (Site::new(), Target::new());
        let front = Address::free_v4();
        // It says in its own header what it has taken from ours.
        let _haproxy = haproxy(&site, &front, "accept-proxy", &target.address, "send-proxy");
        let ours = testbed::ours!();
        let command = ours.spiped(Mode::Decrypt, &site.target, &front, &site.key);
        let _far = Program::serving(&site.dir, "far", command, &site.target);
        let mut command = ours.spiped(Mode::Encrypt, &site.source, &site.target, &site.key);
        command.args(["--proxy-protocol", version]);
        let _near = Program::serving(&site.dir, "near", command, &site.source);

        let (mut client, from) = connect(&site.source);
        client.write_all(b"question").unwrap();
        let mut served = target.accept();
        let to = site.source.tcp();
        let (from_port, to_port) = (from.port(), to.port());
        let header = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from_port} {to_port}\r\n");
        expect(&mut served, header.as_bytes());
        expect(&mut served, b"question");
    }
}
