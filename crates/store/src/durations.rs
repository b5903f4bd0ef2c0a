//! Durations in buckets, so that medians can be estimated from counts.

use std::time::Duration;

/// The ratio of a bucket's upper bound to its lower one: estimates are within 5 %.
const GROWTH: f64 = 1.1;
/// The upper bound of bucket 0.
const FIRST: Duration = Duration::from_micros(100);

/// The bucket of a duration. Only whole microseconds count, as in the log, so that a rebuild counts
/// the duration in the same bucket (invariant 7).
pub fn bucket(duration: Duration) -> u16 {
    let ratio = duration.as_micros() as f64 / FIRST.as_micros() as f64;
    if ratio <= 1.0 {
        return 0;
    }
    // Even 300 years are only bucket 393.
    (ratio.ln() / GROWTH.ln()).floor() as u16 + 1
}

/// The geometric middle of a bucket.
pub fn middle(bucket: u16) -> Duration {
    FIRST.mul_f64(GROWTH.powf(f64::from(bucket) - 0.5))
}

/// Estimates the median from counts by bucket. None if there are no counts.
pub fn median(counts: impl IntoIterator<Item = (u16, u64)>) -> Option<Duration> {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_unstable();
    let total: u64 = counts.iter().map(|(_, count)| count).sum();
    let mut below = 0;
    counts.into_iter().find_map(|(bucket, count)| {
        below += count;
        (count > 0 && below * 2 >= total).then(|| middle(bucket))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_within_5_percent_of_its_buckets_middle() {
        for micros in [101_u64, 150, 1_000, 12_345, 999_999, 10_000_000] {
            let duration = Duration::from_micros(micros);
            let ratio = middle(bucket(duration)).as_secs_f64() / duration.as_secs_f64();
            assert!((0.95..=1.05).contains(&ratio), "{micros} us: {ratio}");
        }
    }

    #[test]
    fn invariant_7_nanoseconds_which_the_log_does_not_keep_change_no_bucket() {
        for micros in 0..100_000 {
            let kept = Duration::from_micros(micros);
            assert_eq!(bucket(kept + Duration::from_nanos(999)), bucket(kept), "{kept:?}");
        }
    }

    #[test]
    fn the_median_is_the_middle_of_the_median_attempts_bucket() {
        assert_eq!(median([]), None);
        assert_eq!(median([(7, 1)]), Some(middle(7)));
        assert_eq!(median([(90, 1), (3, 5), (50, 1)]), Some(middle(3)));
    }
}
