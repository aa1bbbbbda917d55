//! Tests of the order in which targets are tried, and of the errors that make one fail.

use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use tokio::net::UnixListener;

use super::*;

fn targets(balance: Balance) -> Targets {
    let targets = ["/a", "/b", "/c"].map(|path| Target::new(path.parse().unwrap(), Vec::new()));
    Targets::new("p".into(), targets.map(Arc::new), balance)
}

fn order(targets: &Targets, now: Instant) -> String {
    let candidates = targets.candidates(now);
    let names = candidates.iter().map(|target| target.address.to_string());
    names.collect()
}

#[test]
fn in_order_the_first_that_works_comes_first() {
    let (targets, now) = (targets(Balance::Order), Instant::now());
    let [a, b, c] = targets.all() else { panic!() };
    for _ in 0..3 {
        assert_eq!(order(&targets, now), "/a/b/c");
    }
    a.set_failed(now);
    assert_eq!(order(&targets, now), "/b/c/a");
    c.set_failed(now);
    assert_eq!(order(&targets, now), "/b/a/c");
    b.set_failed(now);
    assert_eq!(order(&targets, now), "/a/b/c");
    b.set_works();
    assert_eq!(order(&targets, now), "/b/a/c");
    c.set_works();
    a.set_works();
    assert_eq!(order(&targets, now), "/a/b/c");
}

#[test]
fn round_robin_takes_turns_among_those_that_work() {
    let (targets, now) = (targets(Balance::RoundRobin), Instant::now());
    let orders = [(); 4].map(|()| order(&targets, now));
    assert_eq!(orders, ["/a/b/c", "/b/c/a", "/c/a/b", "/a/b/c"]);
    targets.all()[0].set_failed(now);
    let mut orders = [(); 4].map(|()| order(&targets, now));
    orders.sort();
    assert_eq!(orders, ["/b/c/a", "/b/c/a", "/c/b/a", "/c/b/a"]);
    for target in targets.all() {
        target.set_failed(now);
    }
    assert_eq!(order(&targets, now), "/a/b/c");
}

#[test]
fn one_connection_tries_a_target_again_that_was_skipped_for_its_time() {
    let (targets, now) = (targets(Balance::Order), Instant::now());
    let a = &targets.all()[0];
    a.set_tried(now);
    assert_eq!(order(&targets, now), "/a/b/c");
    a.set_failed(now);
    let later = now + SKIPPED;
    assert_eq!(order(&targets, later - Duration::from_millis(1)), "/b/c/a");
    assert_eq!(order(&targets, later), "/a/b/c");
    a.set_tried(later);
    assert_eq!(order(&targets, later), "/b/c/a");
    a.set_works();
    assert_eq!(order(&targets, later), "/a/b/c");
}

/// A listener whose queue is full, so that a connection to it is neither made nor refused.
struct Silent {
    address: SocketAddr,
    _listener: Socket,
    _queue: Vec<TcpStream>,
}

fn silent() -> Silent {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let in_time = Duration::from_millis(300);
    let queued = || TcpStream::connect_timeout(&address, in_time).ok();
    Silent {
        address,
        _queue: std::iter::from_fn(queued).collect(),
        _listener: listener,
    }
}

fn leads_to(silent: &Silent) -> Target {
    let endpoint = Endpoint::Tcp(silent.address);
    Target::new("/silent".parse().unwrap(), vec![endpoint])
}

#[tokio::test(start_paused = true)]
async fn one_that_nobody_waited_for_to_the_end_has_failed_if_it_had_a_second() {
    let silent = silent();
    for (waited, has_failed) in [(900, false), (1100, true)] {
        let targets = Targets::from(leads_to(&silent));
        let dial = targets.dial(&[], Duration::from_secs(5));
        let given_up = tokio::time::timeout(Duration::from_millis(waited), dial);
        assert!(given_up.await.is_err());
        let standing = targets.all()[0].standing();
        let failed = matches!(standing, Standing::Failed { .. });
        assert_eq!(failed, has_failed, "after {waited} ms: {standing:?}");
    }
}

#[tokio::test]
async fn what_is_wrong_on_this_machine_is_no_failure_of_a_target() {
    let silent = silent();
    let targets = Targets::from(leads_to(&silent));
    let other_family = [SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
    let dial = targets.dial(&other_family, Duration::from_secs(5));
    assert!(dial.await.is_err());
    assert_eq!(targets.all()[0].standing(), Standing::Untried);
}

#[tokio::test(start_paused = true)]
async fn a_silent_one_has_its_share_of_the_time_and_then_comes_last() {
    let silent = silent();
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("works");
    let _works = UnixListener::bind(&path).unwrap();
    let targets = [
        ("/silent", Endpoint::Tcp(silent.address)),
        ("/refuses", Endpoint::Unix(dir.path().join("refuses"))),
        ("/works", Endpoint::Unix(path)),
    ];
    let targets = targets.map(|(name, at)| Target::new(name.parse().unwrap(), vec![at]));
    let targets = Targets::new("p".into(), targets.map(Arc::new), Balance::Order);
    let limit = Duration::from_secs(9);
    for waited in [limit / 3, Duration::ZERO] {
        let begin = Instant::now();
        assert!(targets.dial(&[], limit).await.is_ok());
        let late = begin.elapsed() - waited;
        assert!(late < Duration::from_millis(10), "{late:?}");
    }
    let now = Instant::now();
    assert_eq!(order(&targets, now), "/works/silent/refuses");
    let [silent, refuses, works] = targets.all() else {
        panic!()
    };
    assert_eq!(works.standing(), Standing::Works);
    for failed in [silent, refuses] {
        let Standing::Failed { until } = failed.standing() else {
            panic!("{failed:?}")
        };
        assert!(until > now && until <= now + SKIPPED);
    }
}
