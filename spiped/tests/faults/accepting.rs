//! Accepting a connection fails.

use testbed::{Duplex, Plan, Signal, signal};

use super::Scene;
use super::scene::{expect_line, strace};

/// The error that the system gives in place of every so many-th connection, and
/// what is said of it.
const ERRORS: [(&str, &str); 6] = [
    ("EMFILE", "too many open files"),
    ("ENFILE", "file table overflow"),
    ("ENOBUFS", "no buffer space available"),
    ("ENOMEM", "out of memory"),
    ("EPROTO", "protocol error"),
    ("ENETDOWN", "network is down"),
];

#[test]
fn an_error_of_the_system_is_a_line_and_costs_no_connection() {
    testbed::need!("strace -f");
    let ours = testbed::ours!();
    for (error, reason) in ERRORS {
        let inject = format!("inject=accept4:error={error}:when=3+4");
        let strace = strace(&inject);
        let plan = Plan::new(&ours, &ours)
            .client_in(&strace)
            .server_in(&strace);
        let mut scene = Scene::of(plan);
        for _ in 0..6 {
            let (client, target) = scene.tunnel.open();
            super::scene::end(client, target);
        }
        expect_line(scene.tunnel.client(), reason);
        expect_line(scene.tunnel.server(), reason);
        scene.end();
    }
}

/// They break while they wait to be accepted.
#[test]
fn clients_that_go_away_in_the_queue_are_nobodys_business() {
    let mut scene = Scene::start();
    let pids = [scene.tunnel.client().pid(), scene.tunnel.server().pid()];
    for pid in pids {
        signal(pid, Signal::SIGSTOP);
    }
    for address in [scene.tunnel.source(), scene.tunnel.middle()] {
        for _ in 0..100 {
            Duplex::connect(address).reset();
        }
    }
    for pid in pids {
        signal(pid, Signal::SIGCONT);
    }
    scene.forget_the_broken();
    scene.end();
}
