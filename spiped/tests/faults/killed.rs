//! A daemon is killed in the middle of its streams.

use testbed::{Pattern, Plan, Signal, signal};

const MIB: u64 = 1024 * 1024;

#[test]
fn either_end_killed_is_a_reset_for_both_sides() {
    let ours = testbed::ours!();
    for is_client in [true, false] {
        println!("the encrypting end: {is_client}");
        let mut tunnel = Plan::new(&ours, &ours).start();
        let (mut client, mut target) = tunnel.open();
        client.tx.send(&mut Pattern::new(1), MIB);
        target.rx.expect(&mut Pattern::new(1), MIB);
        let victim = match is_client {
            true => tunnel.client(),
            false => tunnel.server(),
        };
        signal(victim.pid(), Signal::SIGKILL);
        victim.wait();
        client.rx.expect_reset();
        target.rx.expect_reset();
        // The other end lives on, and says what happened.
        let survivor = match is_client {
            true => tunnel.server(),
            false => tunnel.client(),
        };
        super::scene::expect_line(survivor, "the encrypted connection broke");
        assert!(survivor.is_running());
    }
}
