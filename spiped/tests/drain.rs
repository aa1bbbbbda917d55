//! How the daemon ends: what runs is finished first, unless it is asked twice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use testbed::{
    ABSENCE, Address, Duplex, Listener, Maker, Mode, Pattern, Plan, Program, Signal, Site,
    Transport, proc, signal, until, within,
};

const MIB: u64 = 1024 * 1024;

testbed::for_both![
    an_idle_daemon_ends_at_once,
    a_running_stream_is_finished_first,
    a_second_request_ends_it_at_once,
    it_ends_as_the_first_process_of_a_container,
];

fn an_idle_daemon_ends_at_once(maker: &Maker) {
    let mut tunnel = Plan::new(maker, maker).start();
    // Who has served a stream is surely prepared for signals.
    let (mut client, mut target) = tunnel.open();
    client.tx.finish();
    target.rx.expect_end();
    target.tx.finish();
    client.rx.expect_end();
    tunnel.client().terminate();
    tunnel.server().terminate();
    assert_eq!(tunnel.client().wait().code(), Some(0));
    assert_eq!(tunnel.server().wait().code(), Some(0));
}

fn a_running_stream_is_finished_first(maker: &Maker) {
    let mut tunnel = Plan::new(maker, maker).start();
    let (mut client, mut target) = tunnel.open();
    let (mut sent, mut received) = (Pattern::new(1), Pattern::new(1));
    client.tx.send(&mut sent, 100_000);
    target.rx.expect(&mut received, 100_000);
    tunnel.client().terminate();
    tunnel.server().terminate();
    std::thread::scope(|scope| {
        scope.spawn(|| client.tx.send(&mut sent, 5 * MIB));
        target.rx.expect(&mut received, 5 * MIB);
    });
    target.tx.send(&mut Pattern::new(2), MIB);
    client.rx.expect(&mut Pattern::new(2), MIB);
    client.tx.finish();
    target.rx.expect_end();
    target.tx.finish();
    client.rx.expect_end();
    assert_eq!(tunnel.client().wait().code(), Some(0));
    assert_eq!(tunnel.server().wait().code(), Some(0));
}

fn a_second_request_ends_it_at_once(maker: &Maker) {
    let mut tunnel = Plan::new(maker, maker).start();
    let (mut client, mut target) = tunnel.open();
    client.tx.send(&mut Pattern::new(1), 100);
    target.rx.expect(&mut Pattern::new(1), 100);
    let program = tunnel.client();
    program.terminate();
    let ended = within(ABSENCE, || (!program.is_running()).then_some(()));
    assert!(ended.is_none(), "it did not wait for the running stream");
    // Two requests at the same moment would be one.
    until("the end at the second request", || {
        program.terminate();
        (!program.is_running()).then_some(())
    });
    client.rx.expect_nothing();
}

/// The kernel keeps signals without a handler from the first process.
fn it_ends_as_the_first_process_of_a_container(maker: &Maker) {
    testbed::need!("root", "unshare --pid --fork");
    for request in [Signal::SIGTERM, Signal::SIGINT] {
        let site = Site::new();
        let command = maker.spiped(Mode::Encrypt, &site.source, &site.target, &site.key);
        let mut container = Command::new("unshare");
        container
            .args(["--pid", "--fork", "--kill-child", "--"])
            .arg(command.get_program())
            .args(command.get_args());
        let mut container = Program::serving(&site.dir, "container", container, &site.source);
        // Who has tried to serve somebody is surely prepared for signals.
        Duplex::connect(&site.source).rx.expect_nothing();
        signal(proc::child_of(container.pid()), request);
        assert_eq!(container.wait().code(), Some(0), "{request}");
    }
}

mod ours_only {
    use super::*;

    /// C leaves them in its queue.
    #[test]
    fn new_connections_are_refused_while_a_stream_is_finished() {
        let ours = testbed::ours!();
        for transport in [Transport::V4, Transport::V6, Transport::Unix] {
            let mut tunnel = Plan::new(&ours, &ours).over(transport).start();
            let (mut client, mut target) = tunnel.open();
            client.tx.send(&mut Pattern::new(1), 100);
            target.rx.expect(&mut Pattern::new(1), 100);
            tunnel.client().terminate();
            let source = tunnel.source().clone();
            until("the listener's end", || {
                (!proc::is_listening(&source)).then_some(())
            });
            let refused = match &source {
                Address::Tcp(address) => std::net::TcpStream::connect(address).err(),
                Address::Unix(path) => std::os::unix::net::UnixStream::connect(path).err(),
            };
            assert!(refused.is_some(), "{source} still takes connections");
            assert!(tunnel.client().is_running());
            client.tx.finish();
            target.rx.expect_end();
            target.tx.finish();
            client.rx.expect_end();
            assert_eq!(tunnel.client().wait().code(), Some(0));
        }
    }

    #[test]
    fn what_is_open_when_its_time_is_over_is_reset_and_counted() {
        let ours = testbed::ours!();
        let plan = Plan::new(&ours, &ours).client_args(&["--drain", "0.3"]);
        let mut tunnel = plan.start();
        let (mut finished, mut finished_target) = tunnel.open();
        let (mut open, mut open_target) = tunnel.open();
        let mut half = tunnel.connect();
        half.tx.send(&mut Pattern::new(3), 100);
        let mut half_target = tunnel.target().accept();
        half_target.rx.expect(&mut Pattern::new(3), 100);
        half.tx.finish();
        half_target.rx.expect_end();
        open.tx.send(&mut Pattern::new(1), 100);
        open_target.rx.expect(&mut Pattern::new(1), 100);
        tunnel.client().terminate();
        finished.tx.finish();
        finished_target.rx.expect_end();
        finished_target.tx.finish();
        finished.rx.expect_end();
        open.rx.expect_reset();
        half.rx.expect_reset();
        // The break travels through the other daemon.
        open_target.rx.expect_reset();
        assert_eq!(tunnel.client().wait().code(), Some(0));
        let stderr = tunnel.client().stderr();
        assert!(
            stderr.ends_with("spiped: the time to end is over: resetting 2 connections\n"),
            "{stderr}"
        );
    }

    #[test]
    fn no_time_at_all_resets_at_once() {
        let ours = testbed::ours!();
        let plan = Plan::new(&ours, &ours).client_args(&["--drain", "0"]);
        let mut tunnel = plan.start();
        let (mut client, mut target) = tunnel.open();
        client.tx.send(&mut Pattern::new(1), 100);
        target.rx.expect(&mut Pattern::new(1), 100);
        tunnel.client().terminate();
        client.rx.expect_reset();
        assert_eq!(tunnel.client().wait().code(), Some(0));
        let stderr = tunnel.client().stderr();
        assert!(stderr.ends_with("resetting 1 connection\n"), "{stderr}");
    }

    #[test]
    fn who_ends_in_time_ends_the_daemon() {
        let ours = testbed::ours!();
        let plan = Plan::new(&ours, &ours).client_args(&["--drain", "1000"]);
        let mut tunnel = plan.start();
        let (mut client, mut target) = tunnel.open();
        tunnel.client().terminate();
        client.tx.finish();
        target.rx.expect_end();
        target.tx.finish();
        client.rx.expect_end();
        assert_eq!(tunnel.client().wait().code(), Some(0));
        let stderr = tunnel.client().stderr();
        assert!(!stderr.contains("resetting"), "{stderr}");
    }

    #[test]
    fn a_new_daemon_can_take_over_the_address_meanwhile() {
        let ours = testbed::ours!();
        for transport in [Transport::V4, Transport::Unix] {
            let mut old = Plan::new(&ours, &ours).over(transport).start();
            let (mut client, mut target) = old.open();
            client.tx.send(&mut Pattern::new(1), 100);
            target.rx.expect(&mut Pattern::new(1), 100);
            old.client().terminate();
            let source = old.source().clone();
            until("the listener's end", || {
                (!proc::is_listening(&source)).then_some(())
            });

            let site = Site::new();
            let listener = Listener::bind(Transport::V4, &site.dir);
            let command = ours.spiped(Mode::Encrypt, &source, listener.address(), &site.key);
            let _new = Program::serving(&site.dir, "new", command, &source);
            let _client = Duplex::connect(&source);
            listener.accept();

            client.tx.finish();
            target.rx.expect_end();
            target.tx.finish();
            client.rx.expect_end();
            assert_eq!(old.client().wait().code(), Some(0));
            // Its end takes nothing away from the new one.
            let _client = Duplex::connect(&source);
            listener.accept();
        }
    }
}
