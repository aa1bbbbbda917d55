//! Peers that know no key, do not listen or do not answer: what they cost, and
//! what is said of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;
use std::thread;
use std::time::Duration;

use testbed::{Duplex, Maker, Pattern, Plan, Transport, proc};

const MIB: u64 = 1024 * 1024;

testbed::for_both![
    a_refused_target_ends_the_connection,
    a_stalled_reader_costs_little_memory_and_holds_up_nobody,
];

fn a_refused_target_ends_the_connection(maker: &Maker) {
    let nobody = testbed::Address::free_v4();
    let tunnel = Plan::new(maker, maker).to(&nobody).start();
    tunnel.connect().rx.expect_nothing();
}

fn a_stalled_reader_costs_little_memory_and_holds_up_nobody(maker: &Maker) {
    // More than all buffers of the kernel on the way can take.
    const ENDLESS: u64 = 1024 * MIB;
    for over in [Transport::V4, Transport::Unix] {
        let mut tunnel = Plan::new(maker, maker).over(over).start();
        let pids = [tunnel.client().pid(), tunnel.server().pid()];
        let (mut client, mut stalled) = tunnel.open();
        let before = pids.map(proc::resident);
        let stall = Duration::from_secs(1);
        let sent = client.tx.send_until_stalled(1, ENDLESS, stall);
        println!("{over:?}: {sent} bytes sent and not read");
        assert!(sent < ENDLESS, "nothing held the sender back");
        for (pid, before) in pids.into_iter().zip(before) {
            let grown = proc::resident(pid).saturating_sub(before);
            assert!(grown < 8 * MIB, "{grown} bytes more for {sent} unread");
        }

        let (mut other, mut target) = tunnel.open();
        thread::scope(|scope| {
            scope.spawn(|| other.tx.send(&mut Pattern::new(2), MIB));
            scope.spawn(|| target.tx.send(&mut Pattern::new(3), MIB));
            scope.spawn(|| other.rx.expect(&mut Pattern::new(3), MIB));
            target.rx.expect(&mut Pattern::new(2), MIB);
        });

        client.tx.finish();
        stalled.rx.expect(&mut Pattern::new(1), sent);
        stalled.rx.expect_end();
    }
}

mod ours_only {
    use std::io::Read;

    use testbed::{ABSENCE, Address, Echo, Listener, Mode, Program, Site, TempDir, Tunnel};

    use super::*;

    /// A decrypting end before which no key has been proved yet.
    struct Unproved {
        program: Program,
        target: Listener,
        site: Site,
    }

    impl Unproved {
        fn start(args: &[&str]) -> Self {
            let site = Site::new();
            let target = Listener::bind(Transport::V4, &site.dir);
            let ours = testbed::ours!();
            let mut d = ours.spiped(Mode::Decrypt, &site.source, target.address(), &site.key);
            d.args(args);
            let program = Program::serving(&site.dir, "d", d, &site.source);
            Self {
                program,
                target,
                site,
            }
        }

        /// The peer has failed: one line says so, and the target knows nothing.
        fn expect_one_line(mut self, reason: &str) {
            let lines = self.program.lines_about("127.0.0.1", "handshake failed", 0);
            assert_eq!(lines.len(), 1, "{lines:#?}");
            assert!(lines[0].contains(reason), "{lines:?}");
            assert!(self.target.accept_within(ABSENCE).is_none());
        }
    }

    fn garbage(seed: u64) -> Vec<u8> {
        let mut bytes = vec![0; 400];
        Pattern::new(seed).fill(&mut bytes);
        bytes
    }

    /// Reads on until the connection has ended in one way or the other.
    fn wait_for_the_end(mut peer: Duplex) {
        let _ = peer.rx.read_to_end(&mut Vec::new());
    }

    #[test]
    fn garbage_is_refused_with_one_line_and_no_connection_to_the_target() {
        let daemon = Unproved::start(&[]);
        let mut peer = Duplex::connect(&daemon.site.source);
        peer.tx.write_all(&garbage(1)).unwrap();
        wait_for_the_end(peer);
        daemon.expect_one_line("wrong key");
    }

    #[test]
    fn a_peer_of_another_protocol_is_refused_with_one_line() {
        let daemon = Unproved::start(&[]);
        let mut peer = Duplex::connect(&daemon.site.source);
        peer.tx.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        peer.tx.finish();
        let _ = peer.rx.read_to_end(&mut Vec::new());
        daemon.expect_one_line("closed the connection");
    }

    #[test]
    fn a_silent_peer_is_dropped_with_one_line() {
        let daemon = Unproved::start(&["-o", "1"]);
        wait_for_the_end(Duplex::connect(&daemon.site.source));
        daemon.expect_one_line("not over within");
    }

    /// The time is one for the whole handshake, not one for each byte.
    #[test]
    fn a_slow_peer_is_dropped_too() {
        let daemon = Unproved::start(&["-o", "2"]);
        let mut peer = Duplex::connect(&daemon.site.source);
        let bytes = garbage(2);
        // More time than there is, but never as much between two bytes.
        let ended = bytes[..100].iter().any(|byte| {
            let _ = peer.tx.write_all(&[*byte]);
            peer.rx.is_ready_within(Duration::from_millis(200))
        });
        assert!(ended, "it has twenty seconds");
        daemon.expect_one_line("not over within");
    }

    #[test]
    fn garbage_in_place_of_a_server_resets_the_client_with_one_line() {
        let ours = testbed::ours!();
        let site = Site::new();
        let server = Listener::bind(Transport::V4, &site.dir);
        let e = ours.spiped(Mode::Encrypt, &site.source, server.address(), &site.key);
        let mut e = Program::serving(&site.dir, "e", e, &site.source);
        let mut client = Duplex::connect(&site.source);
        let mut peer = server.accept();
        peer.tx.write_all(&garbage(3)).unwrap();
        client.rx.expect_reset();
        let lines = e.lines_about("127.0.0.1", "wrong key", 0);
        assert_eq!(lines.len(), 1, "{lines:#?}");
    }

    #[test]
    fn a_refused_target_is_one_line_that_names_it() {
        let ours = testbed::ours!();
        let nobody = Address::free_v4();
        let mut tunnel = Plan::new(&ours, &ours).to(&nobody).start();
        tunnel.connect().rx.expect_reset();
        let port = nobody.tcp().port().to_string();
        let lines = tunnel.server().lines_about(&port, "refused", 0);
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].contains("127.0.0.1"), "{lines:?}");
    }

    #[test]
    fn an_absent_server_is_one_line_that_names_it() {
        let ours = testbed::ours!();
        let site = Site::new();
        let e = ours.spiped(Mode::Encrypt, &site.source, &site.target, &site.key);
        let mut e = Program::serving(&site.dir, "e", e, &site.source);
        Duplex::connect(&site.source).rx.expect_reset();
        let port = site.target.tcp().port().to_string();
        let lines = e.lines_about(&port, "refused", 0);
        assert_eq!(lines.len(), 1, "{lines:#?}");
    }

    #[test]
    fn a_peer_without_forward_secrecy_is_one_line() {
        let (ours, c) = (testbed::ours!(), testbed::theirs!());
        let plan = Plan::new(&c, &ours).client_args(&["-f"]);
        let mut tunnel = plan.server_args(&["-g"]).start();
        tunnel.connect().rx.expect_nothing();
        let lines = tunnel
            .server()
            .lines_about("127.0.0.1", "forward secrecy", 0);
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(tunnel.target().accept_within(ABSENCE).is_none());
    }

    /// All are counted, few are written down, and a real client is served.
    #[test]
    fn a_storm_of_failing_peers_fills_no_log() {
        const STORM: u64 = 1000;
        let ours = testbed::ours!();
        let dir = TempDir::new();
        let echo = Echo::serve(Listener::bind(Transport::V4, &dir));
        let mut tunnel = Plan::new(&ours, &ours).to(echo.address()).start();
        let (mut out, mut back) = (Pattern::new(1), Pattern::new(1));
        let mut client = tunnel.connect();
        for seed in 0..STORM {
            let mut peer = Duplex::connect(tunnel.middle());
            let _ = peer.tx.write_all(&garbage(seed));
            wait_for_the_end(peer);
            if seed % 100 == 0 {
                client.tx.send(&mut out, 10_000);
                client.rx.expect(&mut back, 10_000);
                a_new_client_is_served(&tunnel);
            }
        }
        client.tx.finish();
        client.rx.expect_end();

        let server = tunnel.server();
        server.terminate();
        server.wait();
        let stderr = server.stderr();
        let (summaries, lines): (Vec<_>, Vec<_>) =
            stderr.lines().partition(|l| l.contains("held back"));
        let lines = lines.iter().filter(|l| l.contains("wrong key")).count() as u64;
        let held_back: u64 = summaries.iter().map(|l| first_number(l)).sum();
        assert!(lines <= 100, "{lines} lines");
        assert_eq!(lines + held_back, STORM, "{summaries:#?}");
        assert!(summaries.len() <= 100, "{} lines", summaries.len());
    }

    fn a_new_client_is_served(tunnel: &Tunnel) {
        let mut client = tunnel.connect();
        client.tx.send(&mut Pattern::new(5), 10);
        client.rx.expect(&mut Pattern::new(5), 10);
    }

    /// How many lines a summary counts: its first word that is a number.
    fn first_number(line: &str) -> u64 {
        line.split_ascii_whitespace()
            .find_map(|word| word.parse().ok())
            .unwrap_or(0)
    }
}
