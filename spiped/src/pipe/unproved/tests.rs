use super::*;

fn unproved(all: usize, per_source: usize) -> Arc<UnprovedConnections> {
    Arc::new(UnprovedConnections::new(Bounds {
        all: NonZeroUsize::new(all).unwrap(),
        per_source: NonZeroUsize::new(per_source),
    }))
}

fn peer(ip: &str) -> Peer {
    Peer::Tcp((ip.parse::<IpAddr>().unwrap(), 1).into())
}

/// Lets a connection in from each address.
fn add(unproved: &Arc<UnprovedConnections>, ips: &[&str]) -> Vec<UnprovedGuard> {
    ips.iter().map(|ip| unproved.add(peer(ip))).collect()
}

/// Returns the connections that were evicted, by index, and the reasons.
fn evicted(guards: &mut [UnprovedGuard]) -> Vec<(usize, EvictionReason)> {
    let guards = guards.iter_mut().enumerate();
    guards
        .filter_map(|(index, guard)| Some((index, guard.evicted.try_recv().ok()?)))
        .collect()
}

#[test]
fn below_the_bounds_nobody_goes() {
    let unproved = unproved(3, 2);
    let mut guards = add(&unproved, &["10.0.0.1", "10.0.0.1", "10.0.0.2"]);
    assert_eq!(evicted(&mut guards), []);
}

#[test]
fn the_one_that_came_first_goes_first() {
    let unproved = unproved(2, 0);
    let mut guards = add(&unproved, &["10.0.0.1"; 4]);
    assert_eq!(
        evicted(&mut guards),
        [(0, EvictionReason::All), (1, EvictionReason::All)]
    );
    assert_eq!(unproved.state().unproved.len(), 2);
}

#[test]
fn silent_ones_go_before_those_that_have_spoken() {
    let unproved = unproved(3, 0);
    let mut guards = add(&unproved, &["10.0.0.1"; 3]);
    guards[0].mark_sent();
    guards[2].mark_sent();
    guards.extend(add(&unproved, &["10.0.0.1"; 2]));
    assert_eq!(
        evicted(&mut guards),
        [(1, EvictionReason::All), (3, EvictionReason::All)]
    );
    guards[4].mark_sent();
    guards.extend(add(&unproved, &["10.0.0.1"]));
    assert_eq!(evicted(&mut guards), [(0, EvictionReason::All)]);
}

#[test]
fn a_source_at_its_bound_loses_its_own() {
    let unproved = unproved(10, 2);
    let mut guards = add(&unproved, &["10.0.0.1", "10.0.0.2", "10.0.0.2"]);
    guards.extend(add(&unproved, &["10.0.0.2", "10.0.0.3"]));
    assert_eq!(evicted(&mut guards), [(1, EvictionReason::PerSource)]);
}

#[test]
fn a_source_at_its_bound_costs_nobody_else_his_place() {
    let unproved = unproved(3, 2);
    let mut guards = add(&unproved, &["10.0.0.1", "10.0.0.2", "10.0.0.2"]);
    guards.extend(add(&unproved, &["10.0.0.2"; 100]));
    assert!(evicted(&mut guards).iter().all(|&(index, _)| index != 0));
}

#[test]
fn a_source_that_has_half_of_all_places_loses_its_own() {
    let unproved = unproved(4, 0);
    let mut guards = add(&unproved, &["10.0.0.1", "10.0.0.3"]);
    guards.extend(add(&unproved, &["10.0.0.2"; 6]));
    let gone: Vec<_> = (2..6).map(|index| (index, EvictionReason::All)).collect();
    assert_eq!(evicted(&mut guards), gone);
    // A connection from another source still takes the place of the first one.
    guards.extend(add(&unproved, &["10.0.0.4"]));
    assert_eq!(evicted(&mut guards), [(0, EvictionReason::All)]);
}

#[test]
fn one_source_may_have_all_places() {
    let unproved = unproved(4, 0);
    let mut guards = add(&unproved, &["10.0.0.1"; 4]);
    assert_eq!(evicted(&mut guards), []);
}

#[test]
fn who_has_left_counts_no_more() {
    let unproved = unproved(2, 1);
    drop(add(&unproved, &["10.0.0.1", "10.0.0.2"]));
    let mut guards = add(&unproved, &["10.0.0.1", "10.0.0.2"]);
    assert_eq!(evicted(&mut guards), []);
    drop(guards);
    let state = unproved.state();
    assert!(state.unproved.is_empty() && state.by_source.is_empty());
}

#[test]
fn speaking_after_the_eviction_changes_nothing() {
    let unproved = unproved(1, 0);
    let mut guards = add(&unproved, &["10.0.0.1"; 2]);
    guards[0].mark_sent();
    assert_eq!(unproved.state().unproved.len(), 1);
    assert_eq!(evicted(&mut guards), [(0, EvictionReason::All)]);
}

#[test]
fn a_source_is_an_address_or_a_network_of_64_bits() {
    let source = |ip: &str| Source::of(peer(ip));
    assert_ne!(source("10.0.0.1"), source("10.0.0.2"));
    assert_eq!(source("10.0.0.1"), source("::ffff:10.0.0.1"));
    assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:0:0:2"));
    assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
    assert_eq!(Source::of(Peer::Unix), None);
}

#[tokio::test(start_paused = true)]
async fn relief_takes_those_that_stay_silent() {
    let unproved = unproved(5, 0);
    let mut guards = add(&unproved, &["10.0.0.1"; 3]);
    guards[0].mark_sent();
    let patience = Duration::from_millis(100);
    tokio::join!(unproved.evict_silent(patience), async {
        tokio::time::sleep(patience / 2).await;
        guards[1].mark_sent();
        guards.extend(add(&unproved, &["10.0.0.1"]));
    });
    assert_eq!(evicted(&mut guards), [(2, EvictionReason::System)]);
}
