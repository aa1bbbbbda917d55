//! Peers that have not proved the key in masses: they cost a bounded amount, go when there are too
//! many, and keep nobody waiting who holds the key.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use testbed::{
    ABSENCE, Client, Duplex, Echo, Listener, Pattern, Plan, TempDir, Transport, Tunnel, proc, until,
};

/// What a client of the encrypted protocol starts with.
const NONCE: usize = 32;

fn tunnel(server_args: &[&str]) -> Tunnel {
    let ours = testbed::ours!();
    // What waits must not be given up by its own side.
    let plan = Plan::new(&ours, &ours).client_args(&["-o", "600", "-n", "0"]);
    plan.server_args(server_args).start()
}

/// A stranger that the daemon has let in.
fn stranger(tunnel: &Tunnel) -> Duplex {
    stranger_from("127.0.0.1", tunnel)
}

fn stranger_from(ip: &str, tunnel: &Tunnel) -> Duplex {
    let ip: IpAddr = ip.parse().unwrap();
    let mut stranger = Duplex::connect_from(ip, tunnel.middle());
    // The daemon answers a nonce of version 1 with its own.
    stranger.tx.write_all(&[0; NONCE]).unwrap();
    stranger.rx.read_exact(&mut [0; NONCE]).unwrap();
    stranger
}

fn is_there(stranger: &Duplex) -> bool {
    !stranger.rx.is_ready_within(ABSENCE)
}

/// Ends the daemon, and counts the lines in its log, with those it held back.
fn lines_about(tunnel: &mut Tunnel, reason: &str) -> usize {
    tunnel.server().terminate();
    tunnel.server().wait();
    let stderr = tunnel.server().stderr();
    stderr.lines().filter(|l| l.contains(reason)).count()
}

#[test]
fn the_oldest_goes_for_the_newest() {
    let mut tunnel = tunnel(&["--max-unproved", "3", "-o", "600"]);
    let mut strangers: Vec<_> = (0..5).map(|_| stranger(&tunnel)).collect();
    for gone in strangers.drain(..2) {
        let mut rx = gone.rx;
        rx.expect_reset();
    }
    assert!(strangers.iter().all(is_there));
    drop(strangers);
    assert_eq!(lines_about(&mut tunnel, "make room"), 2);
}

#[test]
fn one_that_has_spoken_outlasts_silent_ones() {
    let tunnel = tunnel(&["--max-unproved", "3", "-o", "600"]);
    // Its byte may still be on its way when the others come.
    until("a silent one that goes for another", || {
        let speaker = stranger(&tunnel);
        let others: Vec<_> = (0..3).map(|_| Duplex::connect(tunnel.middle())).collect();
        (others[0].rx.is_ready_within(ABSENCE) && is_there(&speaker)).then_some(())
    });
}

#[test]
fn a_source_at_its_bound_loses_its_own_oldest() {
    let args = ["--max-unproved-per-source", "2", "-o", "600"];
    let mut tunnel = tunnel(&args);
    let other = stranger_from("127.0.0.2", &tunnel);
    let mut strangers: Vec<_> = (0..3).map(|_| stranger(&tunnel)).collect();
    strangers.remove(0).rx.expect_reset();
    assert!(is_there(&other) && strangers.iter().all(is_there));
    drop((other, strangers));
    assert_eq!(lines_about(&mut tunnel, "--max-unproved-per-source"), 1);
}

#[test]
fn a_source_that_has_half_of_all_places_loses_its_own_oldest() {
    let tunnel = tunnel(&["--max-unproved", "4", "-o", "600"]);
    let others = ["127.0.0.2", "127.0.0.3"].map(|ip| stranger_from(ip, &tunnel));
    let crowd: Vec<_> = (0..20).map(|_| stranger(&tunnel)).collect();
    assert!(others.iter().all(is_there));
    drop(crowd);
}

/// What a newcomer has sent may still be on its way when the next one comes.
#[test]
fn a_source_that_has_half_of_all_places_makes_room_for_others() {
    let tunnel = tunnel(&["--max-unproved", "10", "-o", "600"]);
    let crowd: Vec<_> = (0..10).map(|_| stranger(&tunnel)).collect();
    let silent = |ip: &str| Duplex::connect_from(ip.parse().unwrap(), tunnel.middle());
    let others = ["127.0.0.2", "127.0.0.3", "127.0.0.4"].map(silent);
    assert!(others.iter().all(is_there));
    let gone = crowd.iter().filter(|one| !is_there(one)).count();
    assert_eq!(gone, others.len());
}

#[test]
fn one_source_may_have_all_places() {
    let mut tunnel = tunnel(&["--max-unproved", "4", "-o", "600"]);
    let strangers: Vec<_> = (0..4).map(|_| stranger(&tunnel)).collect();
    assert!(strangers.iter().all(is_there));
    drop(strangers);
    assert_eq!(lines_about(&mut tunnel, "make room"), 0);
}

/// Ten thousand, as far as this process may have them open; they say nothing, or as much as a peer
/// that holds the key does at first.
#[test]
fn ten_thousand_silent_peers_keep_no_client_waiting() {
    for words in [&[][..], &[0; NONCE]] {
        a_crowd_keeps_no_client_waiting(words);
    }
}

fn a_crowd_keeps_no_client_waiting(words: &[u8]) {
    const BOUND: usize = 500;
    let ours = testbed::ours!();
    let dir = TempDir::new();
    let echo = Echo::serve(Listener::bind(Transport::V4, &dir));
    // None of the crowd goes by itself while the test runs.
    let args = ["-o", "600", "--max-unproved", "500"];
    let plan = Plan::new(&ours, &ours).client_args(&["-o", "600"]);
    let mut tunnel = plan.server_args(&args).to(echo.address()).start();
    let mut served = tunnel.connect();
    let (mut out, mut back) = (Pattern::new(1), Pattern::new(1));
    served.tx.send(&mut out, 10);
    served.rx.expect(&mut back, 10);
    let before = proc::descriptors(tunnel.server().pid());

    let size = crowd_size();
    let mut crowd = Vec::new();
    for count in 0..size {
        let mut peer = TcpStream::connect(tunnel.middle().tcp()).unwrap();
        // Fails for one that had to go already.
        let _ = peer.write_all(words);
        crowd.push(peer);
        if count % (size / 20) == 0 {
            // From the same address as the crowd, and in the middle of it.
            a_client_is_served(&tunnel);
            served.tx.send(&mut out, 10_000);
            served.rx.expect(&mut back, 10_000);
        }
    }
    let pid = tunnel.server().pid();
    let most = before + BOUND + 20;
    until("the bound on strangers in force", || {
        (proc::descriptors(pid) <= most).then_some(())
    });
    drop(crowd);
    until("the strangers' end", || {
        (proc::descriptors(pid) <= before + 1).then_some(())
    });
    a_client_is_served(&tunnel);
    served.tx.finish();
    served.rx.expect_end();
    let lines = lines_about(&mut tunnel, "make room");
    assert!((1..200).contains(&lines), "{lines} lines");
}

fn a_client_is_served(tunnel: &Tunnel) {
    let mut client = tunnel.connect();
    client.tx.send(&mut Pattern::new(5), 10);
    client.rx.expect(&mut Pattern::new(5), 10);
}

fn crowd_size() -> usize {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    usize::try_from(hard)
        .unwrap()
        .saturating_sub(1000)
        .min(10_000)
}

/// A byte now and then is not a new time for each.
#[test]
fn peers_that_drip_go_in_time_and_block_nobody() {
    let mut tunnel = tunnel(&["-o", "2"]);
    let mut peers: Vec<_> = (0..50).map(|_| stranger(&tunnel)).collect();
    // For twice the time that they have, if they were let.
    for _ in 0..20 {
        for peer in &mut peers {
            let _ = peer.tx.write_all(&[7]);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let (mut client, mut target) = tunnel.open();
    client.tx.send(&mut Pattern::new(1), 10);
    target.rx.expect(&mut Pattern::new(1), 10);
    for mut peer in peers {
        peer.rx.expect_nothing();
    }
    drop((client, target));
    assert!(lines_about(&mut tunnel, "not over within") >= 10);
}

/// Who waits for a slot of `-n` holds the key, and is no stranger any more.
mod who_waits_for_a_slot {
    use super::*;

    /// One that is served, one that waits, and how many descriptors the daemon has with them.
    fn one_waits(args: &[&str]) -> (Tunnel, (Client, Duplex), Client, usize) {
        let mut tunnel = tunnel(args);
        let served = tunnel.open();
        let pid = tunnel.server().pid();
        let before = proc::descriptors(pid);
        let mut waiting = tunnel.connect();
        waiting.tx.send(&mut Pattern::new(2), 10);
        until("a line that says that it waits", || {
            let stderr = tunnel.server().stderr();
            stderr.contains("limit reached").then_some(())
        });
        assert_eq!(proc::descriptors(pid), before + 1);
        (tunnel, served, waiting, before)
    }

    #[test]
    fn is_served_however_long_it_has_waited() {
        let (tunnel, served, mut waiting, _) = one_waits(&["-n", "1", "-o", "1"]);
        std::thread::sleep(Duration::from_millis(1500));
        assert!(tunnel.target().accept_within(ABSENCE).is_none());
        drop(served);
        let mut target = tunnel.target().accept();
        target.rx.expect(&mut Pattern::new(2), 10);
        target.tx.send(&mut Pattern::new(3), 10);
        waiting.rx.expect(&mut Pattern::new(3), 10);
    }

    #[test]
    fn costs_nothing_once_it_has_gone() {
        let (mut tunnel, served, waiting, before) = one_waits(&["-n", "1", "-o", "600"]);
        waiting.reset();
        let pid = tunnel.server().pid();
        until("the end of the one that waited", || {
            (proc::descriptors(pid) == before).then_some(())
        });
        drop(served);
        assert!(tunnel.target().accept_within(ABSENCE).is_none());
        assert_eq!(lines_about(&mut tunnel, "waited for its turn"), 1);
    }

    #[test]
    fn does_not_go_for_a_stranger() {
        let args = ["-n", "1", "-o", "600", "--max-unproved", "2"];
        let (tunnel, served, mut waiting, _) = one_waits(&args);
        let strangers: Vec<_> = (0..10).map(|_| stranger(&tunnel)).collect();
        drop(served);
        let mut target = tunnel.target().accept();
        target.rx.expect(&mut Pattern::new(2), 10);
        target.tx.send(&mut Pattern::new(3), 10);
        waiting.rx.expect(&mut Pattern::new(3), 10);
        drop(strangers);
    }
}
