//! Peers that may have vanished, and how soon the system asks them.

use testbed::{Pattern, proc, until};

use super::Scene;

/// Both sockets of a stream, at both ends.
#[test]
fn a_silent_peer_is_asked_within_a_minute() {
    let mut scene = Scene::start();
    let (mut client, mut target) = scene.tunnel.open();
    client.tx.send(&mut Pattern::new(1), 10);
    target.rx.expect(&mut Pattern::new(1), 10);
    for pid in [scene.tunnel.client().pid(), scene.tunnel.server().pid()] {
        // Right after data another timer may run.
        until("a keep-alive timer of a minute at most", || {
            let timers = proc::keep_alive_timers(pid);
            let soon = timers.iter().filter(|left| left.as_secs() <= 60).count();
            (soon >= 2).then_some(())
        });
    }
    super::scene::end(client, target);
    scene.end();
}
