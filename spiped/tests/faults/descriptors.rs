//! The daemons run out of file descriptors.

use std::io::Read;
use std::time::Duration;

use testbed::{Duplex, Pattern, Plan, Program, Site, until};

use super::Scene;
use super::scene::expect_line;

/// A shell that runs the daemon with few descriptors.
fn with_descriptors(soft: u32, hard: u32) -> [String; 4] {
    let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$@\"");
    ["sh", "-c", &script, "sh"].map(str::to_owned)
}

#[test]
fn at_the_start_the_limit_is_raised_as_far_as_it_goes() {
    let ours = testbed::ours!();
    let shell = with_descriptors(40, 400);
    let shell = shell.each_ref().map(String::as_str);
    let plan = Plan::new(&ours, &ours).client_in(&shell).server_in(&shell);
    let mut scene = Scene::of(plan);
    let streams: Vec<_> = (0..60).map(|_| scene.tunnel.open()).collect();
    assert!(!scene.tunnel.client().stderr().contains("open files"));
    assert!(!scene.tunnel.server().stderr().contains("open files"));
    drop(streams);
    scene.end();
}

#[test]
fn at_the_start_too_low_a_limit_is_a_line() {
    let ours = testbed::ours!();
    let site = Site::new();
    let shell = with_descriptors(100, 100);
    let mut command = std::process::Command::new(&shell[0]);
    let daemon = ours.spiped(
        testbed::Mode::Decrypt,
        &site.source,
        &site.target,
        &site.key,
    );
    command
        .args(&shell[1..])
        .arg(daemon.get_program())
        .args(daemon.get_args());
    let program = Program::serving(&site.dir, "d", command, &site.source);
    // Workers have four each, and together a quarter at most.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let connections = (100 - 64 - 4 * processors.min(6)) / 2;
    expect_line(
        &program,
        &format!("100 open files is enough for {connections} connections, not for 100"),
    );
}

#[test]
fn when_none_are_left_the_others_wait_until_one_ends() {
    let ours = testbed::ours!();
    let shell = with_descriptors(128, 128);
    let shell = shell.each_ref().map(String::as_str);
    for is_client in [true, false] {
        println!("the encrypting end: {is_client}");
        // Nobody gives up by himself.
        let plan = Plan::new(&ours, &ours).client_args(&["-n", "0", "-o", "600"]);
        let plan = plan.server_args(&["-n", "0", "-o", "600"]);
        let plan = match is_client {
            true => plan.client_in(&shell),
            false => plan.server_in(&shell),
        };
        let mut scene = Scene::of(plan);
        let mut streams = Vec::new();
        let is_out = |scene: &mut Scene| {
            let program = match is_client {
                true => scene.tunnel.client(),
                false => scene.tunnel.server(),
            };
            program.stderr().contains("too many open files")
        };
        // One after the other, as a crowd would be one of strangers.
        while !is_out(&mut scene) {
            let client = scene.tunnel.connect();
            let mut target = None;
            until("a stream, or a line", || {
                target = scene.tunnel.target().accept_within(Duration::ZERO);
                (target.is_some() || is_out(&mut scene)).then_some(())
            });
            streams.push((client, target));
        }
        assert!(streams.len() > 10, "{} streams", streams.len());
        drop(streams);
        scene.forget_the_broken();
        scene.end();
    }
}

/// The daemon knows that it has few, but strangers fill what there is.
#[test]
fn when_none_are_left_a_stranger_makes_room() {
    let ours = testbed::ours!();
    let shell = with_descriptors(96, 96);
    let shell = shell.each_ref().map(String::as_str);
    let plan = Plan::new(&ours, &ours).client_args(&["-o", "600"]);
    let plan = plan
        .server_args(&["-n", "20", "-o", "600"])
        .server_in(&shell);
    let mut scene = Scene::of(plan);
    let mut strangers = Vec::new();
    for count in 0..200 {
        strangers.push(Duplex::connect(scene.tunnel.middle()));
        if count % 20 == 0 {
            let (mut client, mut target) = scene.tunnel.open();
            client.tx.send(&mut Pattern::new(1), 100);
            target.rx.expect(&mut Pattern::new(1), 100);
            super::scene::end(client, target);
        }
    }
    expect_line(scene.tunnel.server(), "make room");
    let gone = |stranger: &mut Duplex| {
        let mut rest = Vec::new();
        stranger.rx.is_ready_within(testbed::ABSENCE) && stranger.rx.read_to_end(&mut rest).is_err()
    };
    until("the oldest stranger's end", || {
        gone(&mut strangers[0]).then_some(())
    });
    drop(strangers);
    scene.end();
}
