//! Converts times and durations between the domain's types and protobuf's. Everything is cut to the
//! microsecond, which is the precision of both databases.

use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;

const MICROS_PER_SECOND: i64 = 1_000_000;
const NANOS_PER_MICRO: u32 = 1_000;
const NANOS_PER_SECOND: u32 = 1_000_000_000;
/// 0001-01-01T00:00:00Z, the earliest google.protobuf.Timestamp. The latest that we accept is jiff's,
/// 9999-12-30T22:00:00Z, a day before protobuf's.
const FIRST_SECOND: i64 = -62_135_596_800;

/// The first and the last second that we accept, for messages to people.
pub(crate) const RANGE: &str = "0001-01-01T00:00:00Z to 9999-12-30T22:00:00Z";

/// The protobuf form of a time, cut to the microsecond.
pub fn timestamp_to_proto(time: Timestamp) -> prost_types::Timestamp {
    let micros = time.as_microsecond();
    prost_types::Timestamp {
        seconds: micros.div_euclid(MICROS_PER_SECOND),
        // Below 1,000,000, so that it fits.
        nanos: (micros.rem_euclid(MICROS_PER_SECOND) as u32 * NANOS_PER_MICRO) as i32,
    }
}

/// The time of a protobuf message, cut to the microsecond. None if it is not a valid
/// google.protobuf.Timestamp (nanos of 0 to 999,999,999), or outside the years 1 to 9999.
pub fn timestamp_from_proto(time: &prost_types::Timestamp) -> Option<Timestamp> {
    let nanos = u32::try_from(time.nanos).ok().filter(|nanos| *nanos < NANOS_PER_SECOND)?;
    if time.seconds < FIRST_SECOND {
        return None;
    }
    let micros = i64::from(nanos / NANOS_PER_MICRO);
    let micros = time.seconds.checked_mul(MICROS_PER_SECOND)?.checked_add(micros)?;
    Timestamp::from_microsecond(micros).ok()
}

/// The protobuf form of a duration, cut to the microsecond. Ours are at most years; a duration that
/// protobuf cannot hold becomes the longest that it can.
pub fn duration_to_proto(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: (duration.subsec_micros() * NANOS_PER_MICRO) as i32,
    }
}

/// The duration of a protobuf message, cut to the microsecond. None if it is negative or not a valid
/// google.protobuf.Duration.
pub fn duration_from_proto(duration: &prost_types::Duration) -> Option<Duration> {
    let nanos = u32::try_from(duration.nanos).ok().filter(|nanos| *nanos < NANOS_PER_SECOND)?;
    let seconds = u64::try_from(duration.seconds).ok()?;
    Some(Duration::new(seconds, nanos / NANOS_PER_MICRO * NANOS_PER_MICRO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a timestamp")
    }

    fn proto(seconds: i64, nanos: i32) -> prost_types::Timestamp {
        prost_types::Timestamp { seconds, nanos }
    }

    #[test]
    fn times_are_cut_to_the_microsecond() {
        let fine = time("2026-04-23T10:30:00.123456789Z");
        assert_eq!(timestamp_to_proto(fine), proto(1_776_940_200, 123_456_000));
        let given = proto(1_776_940_200, 123_456_789);
        assert_eq!(timestamp_from_proto(&given), Some(time("2026-04-23T10:30:00.123456Z")));
    }

    #[test]
    fn times_before_1970_have_positive_nanos() {
        let before = time("1969-12-31T23:59:59.75Z");
        assert_eq!(timestamp_to_proto(before), proto(-1, 750_000_000));
        assert_eq!(timestamp_from_proto(&proto(-1, 750_000_000)), Some(before));
    }

    #[test]
    fn times_outside_of_the_years_1_to_9999_are_refused() {
        for wrong in [
            proto(FIRST_SECOND - 1, 999_999_999),
            proto(253_402_300_800, 0),
            proto(i64::MIN, 0),
            proto(i64::MAX, 0),
            proto(0, -1),
            proto(0, 1_000_000_000),
        ] {
            assert_eq!(timestamp_from_proto(&wrong), None, "{wrong:?}");
        }
        let (first, last) = RANGE.split_once(" to ").expect("two times");
        for edge in [time(first), time(last)] {
            assert_eq!(timestamp_from_proto(&timestamp_to_proto(edge)), Some(edge));
        }
    }

    #[test]
    fn durations_are_cut_to_the_microsecond_and_never_negative() {
        let fine = Duration::new(3, 123_456_789);
        let cut = prost_types::Duration { seconds: 3, nanos: 123_456_000 };
        assert_eq!(duration_to_proto(fine), cut);
        assert_eq!(duration_from_proto(&cut), Some(Duration::new(3, 123_456_000)));
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000)] {
            let wrong = prost_types::Duration { seconds, nanos };
            assert_eq!(duration_from_proto(&wrong), None, "{wrong:?}");
        }
    }
}
