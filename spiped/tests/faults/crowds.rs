//! Many connections, in turn and at once. The large numbers take minutes: `--ignored` runs them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use testbed::{Address, Echo, Listener, PATIENCE, Pattern, Plan, TempDir, Transport, proc, until};

const NO_LIMIT: [&str; 4] = ["-n", "0", "-o", "600"];
const MIB: u64 = 1024 * 1024;

#[test]
fn a_thousand_in_turn_leave_nothing_behind() {
    in_turn(1000);
}

#[test]
#[ignore = "takes minutes"]
fn a_hundred_thousand_in_turn_leave_nothing_behind() {
    in_turn(100_000);
}

/// By some clients at a time.
fn in_turn(count: u64) {
    const CLIENTS: u64 = 4;
    let ours = testbed::ours!();
    let dir = TempDir::new();
    let echo = Echo::serve(Listener::bind(Transport::V4, &dir));
    let mut tunnel = Plan::new(&ours, &ours).to(echo.address()).start();
    let pids = [tunnel.client().pid(), tunnel.server().pid()];
    let round = |seed| {
        let mut client = tunnel.connect();
        client.tx.send(&mut Pattern::new(seed), 1000);
        client.rx.expect(&mut Pattern::new(seed), 1000);
        client.tx.finish();
        client.rx.expect_end();
    };
    (0..100).for_each(round);
    let before = pids.map(|pid| (proc::descriptors(pid), proc::resident(pid)));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| (0..count / CLIENTS).for_each(round));
        }
    });
    for (pid, (descriptors, resident)) in pids.into_iter().zip(before) {
        until("the end of all connections", || {
            (proc::descriptors(pid) <= descriptors).then_some(())
        });
        let grown = proc::resident(pid).saturating_sub(resident);
        assert!(grown < 8 * MIB, "{grown} bytes more");
    }
}

#[test]
fn five_hundred_at_once_leave_nothing_behind() {
    at_once(500);
}

#[test]
#[ignore = "takes minutes, and 20,000 descriptors a process"]
fn nine_thousand_at_once_leave_nothing_behind() {
    at_once(9000);
}

/// Both ends of each stream are here, so there are two descriptors a stream in
/// the test as well as in each daemon.
fn at_once(count: u64) {
    have_as_many_descriptors_as_possible();
    let ours = testbed::ours!();
    let service = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let target = Address::Tcp(service.local_addr().unwrap());
    let plan = Plan::new(&ours, &ours).to(&target);
    let mut tunnel = plan.client_args(&NO_LIMIT).server_args(&NO_LIMIT).start();
    let pids = [tunnel.client().pid(), tunnel.server().pid()];
    let source = tunnel.source().tcp();
    let open = |seed| {
        let mut client = TcpStream::connect(source).unwrap();
        let (mut target, _) = service.accept().unwrap();
        exchange(&mut client, &mut target, seed);
        (seed, client, target)
    };
    let first = open(0);
    let before = pids.map(|pid| proc::descriptors(pid) as u64 - 2);
    drop(first);

    let mut held: Vec<_> = (0..count).map(open).collect();
    for (seed, client, target) in &mut held {
        exchange(target, client, !*seed);
    }
    for (pid, before) in pids.into_iter().zip(before) {
        assert!(proc::descriptors(pid) as u64 >= before + 2 * count);
    }
    drop(held);
    for (pid, before) in pids.into_iter().zip(before) {
        until("the end of all connections", || {
            (proc::descriptors(pid) as u64 <= before).then_some(())
        });
        until("the memory's return", || {
            (proc::resident(pid) < 40 * MIB).then_some(())
        });
    }
}

fn exchange(from: &mut TcpStream, to: &mut TcpStream, seed: u64) {
    let (mut sent, mut received) = ([0; 1000], [0; 1000]);
    Pattern::new(seed).fill(&mut sent);
    from.write_all(&sent).unwrap();
    to.set_read_timeout(Some(PATIENCE)).unwrap();
    to.read_exact(&mut received).unwrap();
    assert_eq!(sent, received);
}

fn have_as_many_descriptors_as_possible() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}
