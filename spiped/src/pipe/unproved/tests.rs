use proptest::prelude::*;

use super::*;

fn bounds(all: usize, per_source: usize) -> Bounds {
    Bounds {
        all: NonZeroUsize::new(all).unwrap(),
        per_source: NonZeroUsize::new(per_source),
    }
}

fn unproved(all: usize, per_source: usize) -> Arc<UnprovedConnections> {
    Arc::new(UnprovedConnections::new(bounds(all, per_source)))
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
}

#[test]
fn a_source_that_has_half_of_all_places_makes_room_for_others() {
    let unproved = unproved(4, 0);
    let mut guards = add(&unproved, &["10.0.0.2"; 4]);
    guards.iter_mut().for_each(UnprovedGuard::mark_sent);
    // What these have sent is still on its way.
    guards.extend(add(&unproved, &["10.0.0.3", "10.0.0.4"]));
    let gone = [(0, EvictionReason::All), (1, EvictionReason::All)];
    assert_eq!(evicted(&mut guards), gone);
    // It has half of all places still, and then less.
    guards.extend(add(&unproved, &["10.0.0.5", "10.0.0.6"]));
    let gone = [(2, EvictionReason::All), (4, EvictionReason::All)];
    assert_eq!(evicted(&mut guards), gone);
}

#[test]
fn half_of_an_odd_number_of_places_is_more_than_those_below() {
    let unproved = unproved(3, 0);
    let mut guards = add(&unproved, &["10.0.0.3", "10.0.0.1", "10.0.0.2", "10.0.0.1"]);
    assert_eq!(evicted(&mut guards), [(0, EvictionReason::All)]);
    guards.extend(add(&unproved, &["10.0.0.4"]));
    assert_eq!(evicted(&mut guards), [(1, EvictionReason::All)]);
}

#[test]
fn of_two_sources_that_have_half_each_neither_costs_the_other_a_place() {
    let unproved = unproved(4, 0);
    let mut guards = add(&unproved, &["10.0.0.1", "10.0.0.1", "10.0.0.2", "10.0.0.2"]);
    guards.extend(add(&unproved, &["10.0.0.2", "10.0.0.1"]));
    let gone = [(0, EvictionReason::All), (2, EvictionReason::All)];
    assert_eq!(evicted(&mut guards), gone);
    // For others goes what would go first of all.
    guards[1].mark_sent();
    guards.extend(add(&unproved, &["10.0.0.3"]));
    assert_eq!(evicted(&mut guards), [(3, EvictionReason::All)]);
}

#[test]
fn peers_without_an_address_take_from_the_largest_source_too() {
    let unproved = unproved(4, 0);
    let mut guards = vec![unproved.add_behind_balancer(), unproved.add(Peer::Unix)];
    guards.extend(add(&unproved, &["10.0.0.1"; 2]));
    guards.push(unproved.add_behind_balancer());
    assert_eq!(evicted(&mut guards), [(2, EvictionReason::All)]);
    guards.push(unproved.add(Peer::Unix));
    assert_eq!(evicted(&mut guards), [(0, EvictionReason::All)]);
}

/// One step of whoever connects.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// A connection comes from one of a few sources; 0 has no address.
    Comes(u8),
    /// The connection at this index, of all that have come, sends something.
    Sends(usize),
    /// It goes.
    Goes(usize),
    /// The limits change.
    Bounds(usize, usize),
}

/// The connections in the order in which they came, looked through anew each time.
#[derive(Default)]
struct Model {
    all: usize,
    per_source: usize,
    there: Vec<(usize, u8, bool)>,
}

impl Model {
    /// Returns the one that goes.
    fn comes(&mut self, index: usize, source: u8) -> Option<(usize, EvictionReason)> {
        let count = |of: u8| match of {
            0 => 0,
            _ => self.there.iter().filter(|(_, from, _)| *from == of).count(),
        };
        let first = |is_among: &dyn Fn(u8) -> bool| {
            let among = self.there.iter().filter(|(_, from, _)| is_among(*from));
            among.map(|&(index, _, sent)| (sent, index)).min()
        };
        let most = (1..5).map(count).max().unwrap();
        let victim = if self.per_source > 0 && count(source) >= self.per_source {
            first(&|from| from == source).map(|one| (one, EvictionReason::PerSource))
        } else if self.there.len() < self.all {
            None
        } else {
            let one = match 2 * most >= self.all {
                true if count(source) == most => first(&|from| from == source),
                true => first(&|from| count(from) == most),
                false => first(&|_| true),
            };
            one.map(|one| (one, EvictionReason::All))
        };
        let victim = victim.map(|((_, index), reason)| (index, reason));
        self.there
            .retain(|(index, ..)| victim.is_none_or(|(gone, _)| gone != *index));
        self.there.push((index, source, false));
        victim
    }
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (0..5_u8).prop_map(Act::Comes),
        4 => (0..60_usize).prop_map(Act::Sends),
        2 => (0..60_usize).prop_map(Act::Goes),
        1 => (1..9_usize, 0..4_usize).prop_map(|(all, per_source)| Act::Bounds(all, per_source)),
    ];
    proptest::collection::vec(act, 0..120)
}

proptest! {
    #[test]
    fn who_goes_is_who_should(acts in acts()) {
        let unproved = unproved(6, 0);
        let mut model = Model { all: 6, ..Model::default() };
        let mut guards: Vec<Option<UnprovedGuard>> = Vec::new();
        for act in acts {
            match act {
                Act::Comes(source) => {
                    let gone = model.comes(guards.len(), source);
                    guards.push(Some(match source {
                        0 => unproved.add_behind_balancer(),
                        source => unproved.add(peer(&format!("10.0.0.{source}"))),
                    }));
                    let open = guards.iter_mut().enumerate();
                    let mut evicted = open.filter_map(|(index, guard)| {
                        Some((index, guard.as_mut()?.evicted.try_recv().ok()?))
                    });
                    prop_assert_eq!(evicted.next(), gone);
                    prop_assert_eq!(evicted.next(), None);
                }
                Act::Sends(index) => {
                    if let Some(guard) = guards.get_mut(index).and_then(Option::as_mut) {
                        guard.mark_sent();
                        let there = model.there.iter_mut().filter(|(at, ..)| *at == index);
                        there.for_each(|(.., sent)| *sent = true);
                    }
                }
                Act::Goes(index) => {
                    drop(guards.get_mut(index).and_then(Option::take));
                    model.there.retain(|(at, ..)| *at != index);
                }
                Act::Bounds(all, per_source) => {
                    unproved.set_bounds(bounds(all, per_source));
                    (model.all, model.per_source) = (all, per_source);
                }
            }
            prop_assert_eq!(unproved.count(), model.there.len());
        }
        drop(guards);
        let state = unproved.state();
        prop_assert!(state.unproved.is_empty() && state.by_source.is_empty());
        prop_assert!(state.by_size.is_empty());
    }
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
    let unproved = unproved(4, 4);
    let guard = unproved.add(peer("2001:db8::1"));
    assert_eq!(guard.source(), Some("2001:db8::".parse().unwrap()));
    assert_eq!(unproved.add(Peer::Unix).source(), None);
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
