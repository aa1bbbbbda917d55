//! haproxy, before an end and as the target.

use std::io::Write;
use std::process::Command;

use testbed::{Address, Mode, Program, Site, Transport, find};

use super::{Target, behind_a_balancer, connect, expect};

/// haproxy with one way from here to there.
fn haproxy(site: &Site, front: &Address, front_more: &str, to: &Address, to_more: &str) -> Program {
    let there = match to {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => format!("unix@{}", path.display()),
    };
    let configuration = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 9s\n timeout server 9s\n\
         listen way\n bind {} {front_more}\n server there {there} {to_more}\n",
        front.tcp(),
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

#[test]
fn behind_haproxy_both_versions_are_taken() {
    testbed::need!("haproxy");
    let with_checksum = "send-proxy-v2 proxy-v2-options crc32c,unique-id";
    for (send, transport) in [
        ("send-proxy", Transport::V4),
        ("send-proxy-v2", Transport::V4),
        (with_checksum, Transport::Unix),
    ] {
        for end in [Mode::Encrypt, Mode::Decrypt] {
            let start = |site: &_, front: &_, to: &_| haproxy(site, front, "", to, send);
            behind_a_balancer(&start, transport, end);
        }
    }
}
