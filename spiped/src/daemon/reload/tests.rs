use std::fs;

use tempfile::TempDir;

use super::*;

/// A file with one pipe, which has the keys of Alice and Bob, and that pipe as it runs.
fn running() -> (TempDir, ConfigSource, Vec<(PipeConfig, Keys)>) {
    let dir = TempDir::new().unwrap();
    for name in ["alice", "bob"] {
        fs::write(
            dir.path().join(format!("{name}.key")),
            format!("{name:0>32}"),
        )
        .unwrap();
    }
    let source = ConfigSource::File(dir.path().join("pipes.toml"));
    describe(&dir, &["alice.key", "bob.key"]);
    let pipes = source.read().unwrap().into_iter();
    let running = pipes.map(|config| {
        let (keys, _) = Keys::read(&config.key, config.mode.into()).unwrap();
        (config, keys)
    });
    let running = running.collect();
    (dir, source, running)
}

fn describe(dir: &TempDir, keys: &[&str]) {
    let text = format!(
        "[pipe.d]\nmode = \"decrypt\"\nsource = \"[127.0.0.1]:1\"\ntarget = \"[127.0.0.1]:2\"\n\
         key = {keys:?}\n"
    );
    fs::write(dir.path().join("pipes.toml"), text).unwrap();
}

#[test]
fn a_reload_that_was_given_up_removes_no_key_and_reads_no_further() {
    let (dir, source, running) = running();
    let given_up = Progress::default();
    drop(Waiting(given_up.clone()));
    let newer = Progress::default();
    let bob = running[0].1.entry(1).unwrap();

    describe(&dir, &["alice.key"]);
    fs::remove_file(dir.path().join("bob.key")).unwrap();
    read(&source, &running, &[], &given_up).unwrap_err();
    remove_keys(&source, &running, &[], &given_up).unwrap_err();
    given_up.remove(vec![Arc::clone(bob)]);
    let is_removed = || is_done(bob.removed());
    assert!(!is_removed());
    read(&source, &running, &[], &newer).unwrap();
    assert!(is_removed());
}

/// It is given up while it reads; what it finds after that is of no consequence.
#[test]
fn a_reload_that_is_given_up_on_the_way_goes_no_further() {
    let progress = Progress::default();
    let waiting = Waiting(progress.clone());
    progress.begin("one").unwrap();
    drop(waiting);
    let error = progress.begin("two").unwrap_err();
    assert_eq!(error.to_string(), "one took longer than 30 seconds");
}

/// A key that moves to a single file is read without the clients' keys, which are gone all the same.
#[test]
fn a_pipe_that_has_other_keys_now_has_those_removed_that_are_gone() {
    let (dir, source, running) = running();
    fs::write(dir.path().join("bob.new.key"), [1; 32]).unwrap();
    fs::remove_file(dir.path().join("bob.key")).unwrap();
    let text = fs::read_to_string(dir.path().join("pipes.toml")).unwrap();
    let text = text.replace("[\"alice.key\", \"bob.key\"]", "\"none.key\"");
    fs::write(dir.path().join("pipes.toml"), text).unwrap();
    read(&source, &running, &[], &Progress::default()).unwrap_err();
    let [alice, bob] = [0, 1].map(|index| running[0].1.entry(index).unwrap());
    assert!(!is_done(alice.removed()) && is_done(bob.removed()));
}

/// Whether a future is done at once.
fn is_done(future: impl Future<Output = ()>) -> bool {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    future.as_mut().poll(&mut context).is_ready()
}
