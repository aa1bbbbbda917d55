//! The target comes and goes, or takes connections and nothing else.

use std::time::Duration;

use testbed::{Address, Listener, Pattern, Plan, Silent, proc};

use super::Scene;
use super::scene::{STREAMS, expect_line, strace};

const MIB: u64 = 1024 * 1024;

/// Two daemons whose target is there at times.
#[test]
fn one_that_flaps_is_used_whenever_it_is_there() {
    let ours = testbed::ours!();
    let target = Address::free_v4();
    let mut tunnel = Plan::new(&ours, &ours).to(&target).start();
    let mut kept = Vec::new();
    for round in 0..10 {
        tunnel.connect().rx.expect_reset();
        let listener = Listener::bind_tcp(&target.tcp().to_string());
        let mut client = tunnel.connect();
        let mut service = listener.accept();
        client.tx.send(&mut Pattern::new(round), 1000);
        service.rx.expect(&mut Pattern::new(round), 1000);
        kept.push((client, service));
    }
    expect_line(tunnel.server(), "connection refused");
    for (round, (mut client, mut service)) in kept.into_iter().enumerate() {
        service.tx.send(&mut Pattern::new(round as u64), 1000);
        client.rx.expect(&mut Pattern::new(round as u64), 1000);
        super::scene::end(client, service);
    }
}

#[test]
fn one_that_never_reads_holds_up_its_own_streams_only() {
    let scene = Scene::start();
    let mut stalled = Vec::new();
    for seed in 0..4 {
        let (mut client, target) = scene.tunnel.open();
        let sent = client
            .tx
            .send_until_stalled(seed, 1024 * MIB, Duration::from_millis(500));
        assert!(sent < 1024 * MIB);
        stalled.push((client, target, sent));
    }
    // Some break, and some are read after all.
    for (seed, (client, mut target, sent)) in (0..).zip(stalled) {
        match seed % 2 {
            0 => {
                client.reset();
                drop(target);
            }
            _ => {
                client.tx.finish();
                target.rx.expect(&mut Pattern::new(seed), sent);
                target.rx.expect_end();
            }
        }
    }
    scene.end();
}

/// The first dial after those of the streams that run. Calls are counted for each thread, so there must be
/// one only: that of a daemon on one processor.
#[test]
fn a_dial_that_the_system_refuses_is_a_line() {
    testbed::need!("strace -f", "taskset");
    let ours = testbed::ours!();
    let processor = proc::first_processor();
    for (call, error, reason) in [
        ("connect", "ENOBUFS", "no buffer space available"),
        (
            "connect",
            "EADDRNOTAVAIL",
            "cannot assign requested address",
        ),
        ("connect", "ENETUNREACH", "network is unreachable"),
        ("connect", "ECONNREFUSED", "connection refused"),
    ] {
        let inject = format!("inject={call}:error={error}:when={}", STREAMS + 1);
        let wrapped = [&["taskset", "-c", &processor][..], &strace(&inject)].concat();
        let mut scene = Scene::of(Plan::new(&ours, &ours).client_in(&wrapped));
        scene.tunnel.connect().rx.expect_reset();
        expect_line(scene.tunnel.client(), reason);
        scene.end();
    }
}

/// Its queue is full, so that it answers to nothing.
#[test]
fn one_that_does_not_answer_is_given_up_in_time() {
    let ours = testbed::ours!();
    let silent = Silent::new();
    let target = Address::Tcp(silent.address());
    let plan = Plan::new(&ours, &ours).to(&target);
    let mut tunnel = plan.server_args(&["-o", "1"]).start();
    tunnel.connect().rx.expect_reset();
    expect_line(tunnel.server(), "no answer in time");
}
