//! Streams without data, under `--idle`.

use std::thread::sleep;
use std::time::Duration;

use testbed::{Pattern, Plan};

use super::Scene;
use super::scene::expect_line;

const ONE_SECOND: [&str; 2] = ["--idle", "1"];

#[test]
fn an_idle_stream_is_closed_with_a_line_and_a_busy_one_is_not() {
    let ours = testbed::ours!();
    let plans = [
        Plan::new(&ours, &ours).client_args(&ONE_SECOND),
        Plan::new(&ours, &ours).server_args(&ONE_SECOND),
    ];
    for (index, plan) in plans.into_iter().enumerate() {
        let mut scene = Scene::of(plan);
        let (mut client, mut target) = scene.tunnel.open();
        client.tx.send(&mut Pattern::new(1), 10);
        target.rx.expect(&mut Pattern::new(1), 10);
        client.rx.expect_reset();
        target.rx.expect_reset();
        let program = match index {
            0 => scene.tunnel.client(),
            _ => scene.tunnel.server(),
        };
        expect_line(program, "no data has come from either side for 1s");
        scene.end();
    }
}

/// One direction is enough, also if there is a long time between its bytes.
#[test]
fn a_stream_with_a_little_data_in_one_direction_is_not_idle() {
    let ours = testbed::ours!();
    let args = ["--idle", "5"];
    let plan = Plan::new(&ours, &ours)
        .client_args(&args)
        .server_args(&args);
    let scene = Scene::of(plan);
    let (client, mut target) = scene.tunnel.open();
    let (mut sent, mut received) = (Pattern::new(1), Pattern::new(1));
    let mut rx = client.rx;
    for _ in 0..5 {
        target.tx.send(&mut sent, 1);
        rx.expect(&mut received, 1);
        sleep(Duration::from_millis(1500));
    }
    drop((client.tx, rx, target));
    scene.end();
}

#[test]
fn without_the_option_a_stream_may_be_idle() {
    let scene = Scene::start();
    let (mut client, mut target) = scene.tunnel.open();
    sleep(Duration::from_millis(2500));
    client.tx.send(&mut Pattern::new(1), 10);
    target.rx.expect(&mut Pattern::new(1), 10);
    super::scene::end(client, target);
    scene.end();
}
