use super::*;

fn admitted(limiter: &mut Limiter, class: Class, now: Instant, lines: u32) -> usize {
    (0..lines).filter(|_| limiter.admit(class, now)).count()
}

#[test]
fn a_burst_passes_and_then_two_lines_a_second() {
    let mut limiter = Limiter::new();
    let start = Instant::now();
    assert_eq!(admitted(&mut limiter, Class::Handshake, start, 1000), 10);
    for second in 1..=100 {
        let now = start + Duration::from_secs(second);
        assert_eq!(
            admitted(&mut limiter, Class::Handshake, now, 1000),
            2,
            "second {second}"
        );
    }
}

#[test]
fn a_steady_storm_gets_the_same_rate_however_it_is_spread() {
    let mut limiter = Limiter::new();
    let start = Instant::now();
    let lines = (0..10_000).filter(|&millisecond| {
        limiter.admit(Class::Dial, start + Duration::from_millis(millisecond))
    });
    assert_eq!(lines.count(), 10 + 19);
}

#[test]
fn connections_that_end_well_may_come_often() {
    let mut limiter = Limiter::new();
    let start = Instant::now();
    assert_eq!(admitted(&mut limiter, Class::Closed, start, 5000), 1000);
    for second in 1..=10 {
        let now = start + Duration::from_secs(second);
        assert_eq!(admitted(&mut limiter, Class::Closed, now, 5000), 200);
    }
}

#[test]
fn quiet_restores_the_burst_and_no_more() {
    let mut limiter = Limiter::new();
    let start = Instant::now();
    assert_eq!(admitted(&mut limiter, Class::Accept, start, 20), 10);
    let later = start + Duration::from_secs(3600);
    assert_eq!(admitted(&mut limiter, Class::Accept, later, 20), 10);
}

#[test]
fn classes_do_not_share_a_limit_and_the_daemon_has_none() {
    let mut limiter = Limiter::new();
    let now = Instant::now();
    for class in Class::ALL
        .into_iter()
        .filter(|class| *class != Class::Daemon)
    {
        let burst = class.rate().burst;
        assert_eq!(
            admitted(&mut limiter, class, now, 2000),
            burst as usize,
            "{class:?}"
        );
    }
    assert_eq!(admitted(&mut limiter, Class::Daemon, now, 100), 100);
}

#[test]
fn the_count_is_due_when_the_storm_ebbs() {
    let mut limiter = Limiter::new();
    let start = Instant::now();
    assert_eq!(limiter.next_due(), None);
    admitted(&mut limiter, Class::Broken, start, 15);
    assert_eq!(limiter.next_due(), Some(start + EBB));
    assert_eq!(
        limiter.take_due(start + EBB - Duration::from_nanos(1)),
        None
    );
    assert_eq!(limiter.take_due(start + EBB), Some((Class::Broken, 5)));
    assert_eq!(limiter.take_due(start + EBB), None);
    assert_eq!(limiter.next_due(), None);
}

#[test]
fn the_count_is_due_every_few_seconds_of_an_endless_storm() {
    let mut limiter = Limiter::new();
    let start = Instant::now();
    let mut written = 0;
    let mut reported = Vec::new();
    for millisecond in 0..20_000 {
        let now = start + Duration::from_millis(millisecond);
        written += u64::from(limiter.admit(Class::Handshake, now));
        reported.extend(limiter.take_due(now).map(|(_, count)| count));
    }
    assert!((3..=4).contains(&reported.len()), "{reported:?}");
    let rest = limiter.take_any().map_or(0, |(_, count)| count);
    assert_eq!(written + reported.iter().sum::<u64>() + rest, 20_000);
}

#[test]
fn a_clock_that_stands_still_or_goes_back_does_no_harm() {
    let mut limiter = Limiter::new();
    let now = Instant::now() + Duration::from_secs(60);
    assert_eq!(admitted(&mut limiter, Class::Limit, now, 12), 10);
    let earlier = now - Duration::from_secs(30);
    assert_eq!(admitted(&mut limiter, Class::Limit, earlier, 12), 0);
}
