use jiff::{SignedDuration, ToSpan};
use ulid::Ulid;

use super::*;

const SINCE: &str = "2026-11-30T17:00:00Z";

fn streak(failures: u64) -> FailureStreak {
    let since = SINCE.parse().expect("a time");
    FailureStreak { failures, ..FailureStreak::begin(since, DeliveryId::new(Ulid(1))) }
}

#[test]
fn two_minutes_of_nothing_but_failures_make_an_endpoint_failing() {
    let one = streak(1);
    let after = |micros: i64| one.since + micros.microseconds();
    let two_minutes = 120_000_000;
    for (micros, is_failing) in
        [(0, false), (two_minutes - 1, false), (two_minutes, true), (100 * two_minutes, true)]
    {
        assert_eq!(one.is_failing(after(micros)), is_failing, "after {micros} µs");
    }
    // Another process's clock may be behind the one that made the attempt.
    assert!(!one.is_failing(after(-two_minutes)));
    assert!(!one.is_failing(Timestamp::MIN));
    assert!(one.is_failing(Timestamp::MAX));
}

#[test]
fn so_do_three_failures_at_once() {
    let now = streak(1).since + SignedDuration::from_millis(1);
    assert!(!streak(2).is_failing(now));
    assert!(streak(3).is_failing(now));
    assert!(streak(u64::MAX).is_failing(Timestamp::MIN));
}

#[test]
fn a_streak_keeps_its_beginning_and_adds_up_failures() {
    let later = FailureStreak::begin(Timestamp::MAX, DeliveryId::new(Ulid(2)));
    assert_eq!(streak(2).followed_by(later), streak(3));
}

#[test]
fn degraded_and_disabled_say_more_than_failing() {
    use EffectiveEndpointState::{Active, Degraded, Disabled, Failing};
    let shown = |is_failing| {
        EndpointState::ALL.iter().map(|state| state.effective(is_failing)).collect::<Vec<_>>()
    };
    assert_eq!(shown(false), [Active, Disabled, Degraded]);
    assert_eq!(shown(true), [Failing, Disabled, Degraded]);
}

#[test]
fn the_reason_says_how_often_and_since_when() {
    let delivery = DeliveryId::new(Ulid(1));
    let rest = format!("so far; delivery {delivery} was the first to fail");
    let since = "nothing but failures since 2026-11-30T17:00:00Z";
    assert_eq!(streak(1).reason(), format!("{since}: 1 failed attempt {rest}"));
    assert_eq!(streak(3).reason(), format!("{since}: 3 failed attempts {rest}"));
}
