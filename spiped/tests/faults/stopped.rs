//! A program stands still for a while, in the middle of a stream.

use std::thread;

use testbed::{ABSENCE, Pattern, Signal, signal};

use super::Scene;

const MIB: u64 = 1024 * 1024;

#[test]
fn a_daemon_that_was_stopped_goes_on_where_it_was() {
    let mut scene = Scene::start();
    for pid in [scene.tunnel.client().pid(), scene.tunnel.server().pid()] {
        let (mut client, mut target) = scene.tunnel.open();
        thread::scope(|scope| {
            scope.spawn(|| client.tx.send(&mut Pattern::new(1), 50 * MIB));
            scope.spawn(|| target.tx.send(&mut Pattern::new(2), 50 * MIB));
            scope.spawn(|| client.rx.expect(&mut Pattern::new(2), 50 * MIB));
            scope.spawn(|| target.rx.expect(&mut Pattern::new(1), 50 * MIB));
            for _ in 0..3 {
                signal(pid, Signal::SIGSTOP);
                thread::sleep(ABSENCE);
                signal(pid, Signal::SIGCONT);
                thread::sleep(ABSENCE / 10);
            }
        });
        super::scene::end(client, target);
    }
    scene.end();
}
