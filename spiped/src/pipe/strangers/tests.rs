use super::*;

fn strangers(all: usize, per_source: usize) -> Arc<Strangers> {
    Arc::new(Strangers::new(Bounds {
        all: NonZeroUsize::new(all).unwrap(),
        per_source: NonZeroUsize::new(per_source),
    }))
}

fn peer(ip: &str) -> Peer {
    Peer::Tcp((ip.parse::<IpAddr>().unwrap(), 1).into())
}

/// Lets one in from each address.
fn enter(strangers: &Arc<Strangers>, ips: &[&str]) -> Vec<Stay> {
    ips.iter().map(|ip| strangers.enter(peer(ip))).collect()
}

/// Who has had to go, and why.
fn evicted(stays: &mut [Stay]) -> Vec<(usize, Shortage)> {
    let stays = stays.iter_mut().enumerate();
    stays
        .filter_map(|(index, stay)| Some((index, stay.evicted.try_recv().ok()?)))
        .collect()
}

#[test]
fn below_the_bounds_nobody_goes() {
    let strangers = strangers(3, 2);
    let mut stays = enter(&strangers, &["10.0.0.1", "10.0.0.1", "10.0.0.2"]);
    assert_eq!(evicted(&mut stays), []);
}

#[test]
fn the_one_that_came_first_goes_first() {
    let strangers = strangers(2, 0);
    let mut stays = enter(&strangers, &["10.0.0.1"; 4]);
    assert_eq!(
        evicted(&mut stays),
        [(0, Shortage::All), (1, Shortage::All)]
    );
    assert_eq!(strangers.present().strangers.len(), 2);
}

#[test]
fn silent_ones_go_before_those_that_have_spoken() {
    let strangers = strangers(3, 0);
    let mut stays = enter(&strangers, &["10.0.0.1"; 3]);
    stays[0].has_spoken();
    stays[2].has_spoken();
    stays.extend(enter(&strangers, &["10.0.0.1"; 2]));
    assert_eq!(
        evicted(&mut stays),
        [(1, Shortage::All), (3, Shortage::All)]
    );
    stays[4].has_spoken();
    stays.extend(enter(&strangers, &["10.0.0.1"]));
    assert_eq!(evicted(&mut stays), [(0, Shortage::All)]);
}

#[test]
fn a_source_at_its_bound_loses_its_own() {
    let strangers = strangers(10, 2);
    let mut stays = enter(&strangers, &["10.0.0.1", "10.0.0.2", "10.0.0.2"]);
    stays.extend(enter(&strangers, &["10.0.0.2", "10.0.0.3"]));
    assert_eq!(evicted(&mut stays), [(1, Shortage::PerSource)]);
}

#[test]
fn a_source_at_its_bound_costs_nobody_else_his_place() {
    let strangers = strangers(3, 2);
    let mut stays = enter(&strangers, &["10.0.0.1", "10.0.0.2", "10.0.0.2"]);
    stays.extend(enter(&strangers, &["10.0.0.2"; 100]));
    assert!(evicted(&mut stays).iter().all(|&(index, _)| index != 0));
}

#[test]
fn a_source_that_has_half_of_all_places_loses_its_own() {
    let strangers = strangers(4, 0);
    let mut stays = enter(&strangers, &["10.0.0.1", "10.0.0.3"]);
    stays.extend(enter(&strangers, &["10.0.0.2"; 6]));
    let gone: Vec<_> = (2..6).map(|index| (index, Shortage::All)).collect();
    assert_eq!(evicted(&mut stays), gone);
    // Those from elsewhere still take the place of the first.
    stays.extend(enter(&strangers, &["10.0.0.4"]));
    assert_eq!(evicted(&mut stays), [(0, Shortage::All)]);
}

#[test]
fn one_source_may_have_all_places() {
    let strangers = strangers(4, 0);
    let mut stays = enter(&strangers, &["10.0.0.1"; 4]);
    assert_eq!(evicted(&mut stays), []);
}

#[test]
fn who_has_left_counts_no_more() {
    let strangers = strangers(2, 1);
    drop(enter(&strangers, &["10.0.0.1", "10.0.0.2"]));
    let mut stays = enter(&strangers, &["10.0.0.1", "10.0.0.2"]);
    assert_eq!(evicted(&mut stays), []);
    drop(stays);
    let present = strangers.present();
    assert!(present.strangers.is_empty() && present.by_source.is_empty());
}

#[test]
fn speaking_after_the_eviction_changes_nothing() {
    let strangers = strangers(1, 0);
    let mut stays = enter(&strangers, &["10.0.0.1"; 2]);
    stays[0].has_spoken();
    assert_eq!(strangers.present().strangers.len(), 1);
    assert_eq!(evicted(&mut stays), [(0, Shortage::All)]);
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
    let strangers = strangers(5, 0);
    let mut stays = enter(&strangers, &["10.0.0.1"; 3]);
    stays[0].has_spoken();
    let patience = Duration::from_millis(100);
    tokio::join!(strangers.relieve(patience), async {
        tokio::time::sleep(patience / 2).await;
        stays[1].has_spoken();
        stays.extend(enter(&strangers, &["10.0.0.1"]));
    });
    assert_eq!(evicted(&mut stays), [(2, Shortage::System)]);
}
