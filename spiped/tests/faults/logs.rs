//! Nowhere to write the log to.

use std::io::Write;

use testbed::{Duplex, Plan};

use super::Scene;

/// What runs a daemon with this for its standard error.
fn scene(standard_error: &str) -> Scene {
    scene_of(&format!("exec \"$@\" 2>{standard_error}"))
}

fn scene_of(script: &str) -> Scene {
    let ours = testbed::ours!();
    let shell = ["sh", "-c", script, "sh"];
    Scene::of(Plan::new(&ours, &ours).client_in(&shell).server_in(&shell))
}

/// Much is to be said, and nobody to be waited for.
fn a_storm_of_failures(scene: &mut Scene) {
    for _ in 0..500 {
        let mut peer = Duplex::connect(scene.tunnel.middle());
        let _ = peer.tx.write_all(&[7; 400]);
        let _ = std::io::Read::read_to_end(&mut peer.rx, &mut Vec::new());
    }
}

#[test]
fn a_full_disk_stops_nothing() {
    let mut scene = scene("/dev/full");
    a_storm_of_failures(&mut scene);
    scene.end();
}

/// The system then sends SIGXFSZ, which ends who does not care.
#[test]
fn a_log_that_may_not_grow_stops_nothing() {
    let mut scene = scene_of("ulimit -f 1; exec \"$@\" 2>log");
    a_storm_of_failures(&mut scene);
    scene.end();
}

#[test]
fn a_closed_standard_error_stops_nothing() {
    let mut scene = scene("&-");
    a_storm_of_failures(&mut scene);
    scene.end();
}
