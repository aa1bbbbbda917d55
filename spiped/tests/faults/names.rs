//! Looking the target up fails, hangs, or finds something else.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use testbed::{
    Address, Duplex, Listener, Mode, PATIENCE, Pattern, Program, Site, Transport, in_private_view,
    until,
};

use super::scene::expect_line;

/// Where the daemon asks for names that stand in no file. Nobody is there
/// unless a test is.
const NAME_SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 77, 0, 53), 53);

/// A daemon that leads to `moving.invalid`, and two that may have this name.
struct Moving {
    site: Site,
    e: Program,
    first: Server,
    second: Server,
}

/// A decrypting daemon, and the service behind it.
struct Server {
    _program: Program,
    service: Listener,
}

type Stream = (Duplex, Duplex);

impl Moving {
    fn start() -> Self {
        let site = Site::new();
        let resolver = format!("nameserver {}\noptions timeout:60\n", NAME_SERVER.ip());
        site.dir.write("resolv.conf", resolver);
        let port = testbed::free_port();
        let first = Server::start(&site, "127.0.0.2", port);
        let second = Server::start(&site, "127.0.0.3", port);
        resolve_to(&site, Some("127.0.0.2"));
        let mut command = testbed::ours!().bare_spiped();
        command
            .args(["-e", "-r", "0.5", "-s", &site.source.to_string(), "-k"])
            .arg(&site.key)
            .args(["-t", &format!("moving.invalid:{port}")]);
        let command = in_private_view(&site.dir, &command);
        let e = Program::serving(&site.dir, "e", command, &site.source);
        Self {
            site,
            e,
            first,
            second,
        }
    }

    fn open(&self, server: &Server) -> Stream {
        (Duplex::connect(&self.site.source), server.service.accept())
    }

    /// A stream to the second server, as soon as that is where they lead.
    fn open_to_the_second(&self) -> Stream {
        until("a stream to the second server", || {
            let client = Duplex::connect(&self.site.source);
            let (is_first, target) = until("a stream to either", || {
                let now = Duration::ZERO;
                let first = self.first.service.accept_within(now);
                let is_first = first.is_some();
                Some((is_first, first.or(self.second.service.accept_within(now))?))
            });
            (!is_first).then_some((client, target))
        })
    }

    /// They are whole, and end; so does the daemon.
    fn end(mut self, streams: Vec<Stream>) {
        for (mut client, mut target) in streams {
            carries_data(&mut client, &mut target);
            client.tx.finish();
            target.rx.expect_end();
            target.tx.finish();
            client.rx.expect_end();
        }
        self.e.terminate();
        assert_eq!(self.e.wait().code(), Some(0));
    }
}

impl Server {
    fn start(site: &Site, ip: &str, port: u16) -> Self {
        let service = Listener::bind(Transport::V4, &site.dir);
        let source = Address::Tcp((ip.parse::<IpAddr>().unwrap(), port).into());
        let ours = testbed::ours!();
        let command = ours.spiped(Mode::Decrypt, &source, service.address(), &site.key);
        Self {
            // Another daemon listens on the same port of another address.
            _program: Program::serving(&site.dir, ip, command, &source),
            service,
        }
    }
}

/// Overwrites in place, because the daemon sees this very file.
fn resolve_to(site: &Site, address: Option<&str>) {
    let line = address.map(|a| format!("{a} moving.invalid\n"));
    let text = format!("127.0.0.1 localhost\n{}", line.unwrap_or_default());
    fs::write(site.dir.join("hosts"), text).unwrap();
}

#[track_caller]
fn carries_data(client: &mut Duplex, target: &mut Duplex) {
    client.tx.send(&mut Pattern::new(1), 10_000);
    target.rx.expect(&mut Pattern::new(1), 10_000);
    target.tx.send(&mut Pattern::new(2), 10_000);
    client.rx.expect(&mut Pattern::new(2), 10_000);
}

#[test]
fn a_name_that_changes_or_is_lost_leaves_streams_alone() {
    testbed::need!("root", "unshare --mount");
    let moving = Moving::start();
    let before = moving.open(&moving.first);
    resolve_to(&moving.site, Some("127.0.0.3"));
    let moved = moving.open_to_the_second();
    resolve_to(&moving.site, None);
    expect_line(&moving.e, "keeping its last addresses");
    let after = moving.open(&moving.second);
    moving.end(vec![before, moved, after]);
}

/// The name server is there and never says a word.
#[test]
fn a_look_up_that_hangs_leaves_streams_alone_and_the_end_too() {
    testbed::need!("root", "unshare --mount");
    let silent = UdpSocket::bind(NAME_SERVER).unwrap();
    let moving = Moving::start();
    let before = moving.open(&moving.first);
    resolve_to(&moving.site, None);
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    silent.recv(&mut [0; 500]).unwrap();
    // The look-up hangs from here on, for a minute.
    let during = moving.open(&moving.first);
    moving.end(vec![before, during]);
}
