use std::path::PathBuf;

use spiped_tokio::Peer;

use super::*;
use crate::config::values::Mode;
use crate::keys::{KeyCount, KeysSource};

fn info() -> ConnectionInfo {
    ConnectionInfo::new(Mode::Encrypt, Peer::Unix)
}

#[test]
fn who_comes_is_open_until_it_has_ended() {
    let stats = Arc::new(PipeStats::default());
    let [first, second, third] = [(); 3].map(|()| stats.open_connection(info()));
    second.info().identify(&"bob".into());
    assert_eq!(stats.accepted(), 3);
    assert_eq!(stats.open_connections().len(), 3);
    first.end(CloseReason::Done);
    second.end(CloseReason::Idle);
    drop(third);
    assert!(stats.open_connections().is_empty());
    let totals = stats.totals();
    let nobody = &totals[&None];
    let bob = &totals[&Some("bob".into())];
    assert_eq!(
        (
            nobody.open,
            nobody.all_ended(),
            nobody.ended(CloseReason::Done)
        ),
        (0, 1, 1)
    );
    assert_eq!(
        (bob.open, bob.all_ended(), bob.ended(CloseReason::Idle)),
        (0, 1, 1)
    );
    assert_eq!(stats.accepted(), 3);
}

#[test]
fn what_is_open_counts_as_it_goes() {
    let stats = Arc::new(PipeStats::default());
    let entry = stats.open_connection(info());
    assert_eq!(stats.totals()[&None].open, 1);
    entry.info().identify(&"alice".into());
    let totals = stats.totals();
    assert_eq!(totals.len(), 1);
    assert_eq!(totals[&Some("alice".into())].open, 1);
}

#[test]
fn who_has_no_key_any_more_is_forgotten_at_the_reload_after() {
    let dir = tempfile::TempDir::new().unwrap();
    let [alice, bob] = ["alice", "bob"].map(|name| dir.path().join(format!("{name}.key")));
    for key in [&alice, &bob] {
        std::fs::write(key, [1; 32]).unwrap();
    }
    let keys = |paths: &[&PathBuf]| {
        let source = KeysSource::Clients(paths.iter().copied().cloned().collect());
        Keys::read(&source, KeyCount::Many).unwrap().0
    };
    let (both, one) = (keys(&[&alice, &bob]), keys(&[&alice]));
    let stats = Arc::new(PipeStats::default());
    let [nobody, first, second, open] = [(); 4].map(|()| stats.open_connection(info()));
    first.info().identify(&"alice".into());
    for bobs in [&second, &open] {
        bobs.info().identify(&"bob".into());
    }
    nobody.end(CloseReason::Done);
    first.end(CloseReason::Done);
    second.end(CloseReason::Done);
    let ended = |client: Option<&str>| {
        let totals = stats.totals();
        totals.get(&client.map(Arc::from)).map(Totals::all_ended)
    };
    stats.keep_clients(&both);
    stats.keep_clients(&both);
    for _ in 0..3 {
        stats.keep_clients(&one);
        assert_eq!(ended(Some("bob")), Some(1));
    }
    // His key comes back and goes.
    stats.keep_clients(&both);
    open.end(CloseReason::KeyRemoved);
    stats.keep_clients(&one);
    assert_eq!(ended(Some("bob")), Some(2));
    stats.keep_clients(&one);
    assert_eq!(ended(Some("bob")), None);
    assert_eq!((ended(Some("alice")), ended(None)), (Some(1), Some(1)));
    assert_eq!((stats.all().all_ended(), stats.accepted()), (4, 4));
}

#[test]
fn a_histogram_has_a_place_for_everything() {
    let mut histogram = Histogram::default();
    histogram.observe(None);
    assert_eq!(histogram, Histogram::default());
    for milliseconds in [0, 1, 2, 5000, 5001] {
        histogram.observe(Some(Duration::from_millis(milliseconds)));
    }
    assert_eq!(histogram.buckets, [1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!((histogram.beyond, histogram.count()), (1, 5));
    assert_eq!(histogram.sum, Duration::from_millis(10_004));
    let twice = histogram.clone();
    histogram += &twice;
    assert_eq!(histogram.count(), 10);
}
