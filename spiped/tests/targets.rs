//! A pipe with several targets: which of them a connection goes to, and what becomes of one that is
//! dead.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use testbed::{Address, Duplex, Listener, Program, Site, until};

/// An encrypting end with several targets, which the test plays itself.
struct Server {
    site: Site,
    metrics: Address,
    daemon: Program,
}

impl Server {
    fn start(targets: &[&Address], more: &str) -> Self {
        let site = Site::new();
        let targets: Vec<_> = targets.iter().map(|at| format!("{at}")).collect();
        let source = &site.source;
        let text = format!(
            "[pipe.several]\nmode = \"encrypt\"\nkey = \"key\"\nsource = \"{source}\"\n\
             target = {targets:?}\n{more}\n"
        );
        let file = site.dir.write("pipes.toml", text);
        let mut command = testbed::ours!().bare_spiped();
        command.arg("--config").arg(file);
        let metrics = Address::free_v4();
        command.args(["--metrics", &metrics.to_string(), "--control"]);
        command.arg(site.dir.join("control"));
        let daemon = Program::serving(&site.dir, "several", command, source);
        Self {
            site,
            metrics,
            daemon,
        }
    }

    fn status(&self, more: &[&str]) -> Output {
        let mut command = testbed::ours!().bare_spiped();
        command.args(["status", "--control"]);
        command.arg(self.site.dir.join("control")).args(more);
        command.output().unwrap()
    }

    /// What the status says of the targets.
    fn targets(&self) -> Value {
        let status: Value = serde_json::from_slice(&self.status(&["--json"]).stdout).unwrap();
        status["pipes"][0]["targets"].clone()
    }

    /// What the metrics say of a target.
    fn is_up(&self, target: &Address) -> String {
        let answer = testbed::metrics(&self.metrics);
        let series = format!("spiped_target_up{{pipe=\"several\",target=\"{target}\"}} ");
        let mut lines = answer.lines();
        let value = lines.find_map(|line| line.strip_prefix(&series)).unwrap();
        value.to_owned()
    }

    /// Which of these listeners a new connection leads to.
    fn leads_to(&self, listeners: &[&Listener]) -> usize {
        let _client = Duplex::connect(&self.site.source);
        until("a connection to a target", || {
            let mut all = listeners.iter();
            all.position(|one| one.accept_within(Duration::ZERO).is_some())
        })
    }

    fn says(&self, what: &str) {
        until(what, || self.daemon.stderr().contains(what).then_some(()));
    }

    /// What is said about a new connection that ends before it is served.
    fn refuses(&self) -> String {
        let before = self.daemon.stderr().len();
        Duplex::connect(&self.site.source).rx.expect_nothing();
        until("a line about the connection", || {
            let stderr = self.daemon.stderr();
            let mut new = stderr[before..].lines();
            new.find(|line| line.contains("connection from"))
                .map(str::to_owned)
        })
    }
}

/// Listens at an address that was listened on before, or that is free.
fn revive(address: &Address) -> Listener {
    Listener::bind_tcp(&address.tcp().to_string())
}

fn listener() -> Listener {
    Listener::bind_tcp("127.0.0.1:0")
}

#[test]
fn in_order_the_first_that_works_is_taken() {
    let (dead, second) = (Address::free_v4(), listener());
    let server = Server::start(&[&dead, second.address()], "");
    for _ in 0..3 {
        assert_eq!(server.leads_to(&[&second]), 0);
    }
    let told = format!(
        "target {dead} is passed over from now on: cannot connect to {dead}: connection refused"
    );
    server.says(&told);
    // The first is back, which shows when there is no other.
    let first = revive(&dead);
    let address = second.address().clone();
    drop(second);
    assert_eq!(server.leads_to(&[&first]), 0);
    server.says(&format!("target {dead} works again"));
    // It has worked, and so comes first again.
    let second = revive(&address);
    for _ in 0..3 {
        assert_eq!(server.leads_to(&[&first, &second]), 0);
    }
}

#[test]
fn round_robin_gives_each_the_same() {
    let listeners = [listener(), listener(), listener()];
    let addresses = listeners.each_ref().map(Listener::address);
    let server = Server::start(&addresses, "balance = \"round-robin\"");
    let all = listeners.each_ref();
    let mut taken = [0; 3];
    for _ in 0..9 {
        taken[server.leads_to(&all)] += 1;
    }
    assert_eq!(taken, [3; 3]);
}

#[test]
fn round_robin_is_even_among_those_that_work() {
    let (dead, b, c) = (Address::free_v4(), listener(), listener());
    let more = "balance = \"round-robin\"";
    let server = Server::start(&[&dead, b.address(), c.address()], more);
    let mut taken = [0_usize; 2];
    for _ in 0..30 {
        taken[server.leads_to(&[&b, &c])] += 1;
    }
    // The dead one is tried at the start and, on a slow machine, each ten seconds. If it were tried
    // in each of its turns, b would get twice as many as c.
    assert!(taken[0].abs_diff(taken[1]) <= 4, "{taken:?}");
}

#[test]
fn when_all_are_dead_the_last_is_told_and_each_is_tried_again() {
    for more in ["", "balance = \"round-robin\""] {
        let [a, b, c] = std::array::from_fn(|_| Address::free_v4());
        let server = Server::start(&[&a, &b, &c], more);
        for told in [server.refuses(), server.refuses()] {
            let expected = format!("cannot connect to {c}: ");
            assert!(told.contains(&expected), "{told}");
        }
        let b = revive(&b);
        for _ in 0..3 {
            assert_eq!(server.leads_to(&[&b]), 0);
        }
    }
}

#[test]
fn a_target_that_is_not_the_right_one_is_not_passed_over() {
    let (wrong, second) = (listener(), listener());
    let server = Server::start(&[wrong.address(), second.address()], "");
    for _ in 0..2 {
        let mut client = Duplex::connect(&server.site.source);
        let mut peer = wrong.accept();
        // A nonce, and a message of the key exchange that no key has made.
        peer.tx.write_all(&[0; 32 + 288]).unwrap();
        client.rx.expect_nothing();
    }
    assert!(second.accept_within(Duration::ZERO).is_none());
    until("a line about the handshake", || {
        let told = server.daemon.stderr();
        told.contains("handshake failed").then_some(())
    });
}

#[test]
fn who_asks_is_told_which_target_is_skipped() {
    let (dead, works, spare) = (Address::free_v4(), listener(), listener());
    let addresses = [&dead, works.address(), spare.address()];
    let server = Server::start(&addresses, "");
    let told = |place: &str| {
        let targets = server.targets();
        let all = targets.as_array().unwrap().iter();
        all.map(|target| target[place].clone()).collect::<Vec<_>>()
    };
    let text = addresses.map(|address| Value::from(address.to_string()));
    assert_eq!(told("address"), text);
    assert_eq!(
        told("endpoints"),
        text.map(|address| Value::from(vec![address]))
    );
    assert_eq!(told("state"), ["untried"; 3]);
    assert_eq!(told("skipped"), [Value::Null, Value::Null, Value::Null]);
    assert_eq!(addresses.map(|address| server.is_up(address)), ["1.0"; 3]);

    // Ten seconds are soon over on a machine that stands still.
    let left = until("a target that is skipped", || {
        assert_eq!(server.leads_to(&[&works]), 0);
        told("skipped")[0].as_f64()
    });
    until("what the connection has shown", || {
        (told("state") == ["failed", "works", "untried"]).then_some(())
    });
    assert!(left > 0.0 && left <= 10.0, "{left}");
    assert_eq!(
        addresses.map(|address| server.is_up(address)),
        ["0.0", "1.0", "1.0"]
    );
    let table = String::from_utf8(server.status(&[]).stdout).unwrap();
    let line = |address: &Address| {
        let mut lines = table.lines();
        let found = lines.find(|line| line.contains(&format!("{address}  ")));
        found.unwrap().split_whitespace().collect::<Vec<_>>()
    };
    assert!(line(&dead)[2].starts_with("FAILED"), "{table}");
    assert_eq!(line(works.address())[2..], ["works", "-"], "{table}");
    let untried = ["not", "tried", "yet", "-"];
    assert_eq!(line(spare.address())[2..], untried, "{table}");
}

#[test]
fn what_is_known_of_targets_outlasts_a_reload() {
    let (dead, works) = (Address::free_v4(), listener());
    let server = Server::start(&[&dead, works.address()], "");
    assert_eq!(server.leads_to(&[&works]), 0);
    let file = server.site.dir.join("pipes.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text + "timeout = 4\n").unwrap();
    let told = server.daemon.reload();
    assert!(told.contains("1 changed"), "{told}");
    assert_eq!(server.targets()[0]["state"], "failed");
}

#[test]
fn an_only_target_fails_but_is_never_skipped() {
    let dead = Address::free_v4();
    let server = Server::start(&[&dead], "");
    server.refuses();
    let only = &server.targets()[0];
    assert_eq!(only["state"], "failed");
    assert_eq!(only["skipped"], Value::Null);
    assert_eq!(server.is_up(&dead), "0.0");
    let revived = revive(&dead);
    assert_eq!(server.leads_to(&[&revived]), 0);
    until("the target to work", || {
        (server.targets()[0]["state"] == "works").then_some(())
    });
}
