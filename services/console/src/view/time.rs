//! Times and durations, as people read them.

use std::fmt;
use std::time::Duration;

use askama::filters::HtmlSafe;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use keeptrusts_webhooks_contracts::time::{
    duration_from_proto, timestamp_from_proto, timestamp_to_proto,
};

/// A time, shown in UTC; the script converts it to the viewer's zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) Timestamp);

impl Moment {
    pub(crate) fn of(time: Option<&prost_types::Timestamp>) -> Option<Moment> {
        Some(Moment(timestamp_from_proto(time?)?))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = self.0;
        let readable = exact.strftime("%Y-%m-%d %H:%M:%S UTC");
        write!(f, r#"<time datetime="{exact}" title="{exact}">{readable}</time>"#)
    }
}

// Digits, letters and our own markup.
impl HtmlSafe for Moment {}

/// A duration: `0.4 ms`, `45 ms`, `1.24 s`, `2 min 5 s`.
pub(crate) fn duration(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1_000.0;
    match duration.as_secs() {
        60.. => format!("{} min {} s", duration.as_secs() / 60, duration.as_secs() % 60),
        10.. => format!("{:.1} s", duration.as_secs_f64()),
        1.. => format!("{:.2} s", duration.as_secs_f64()),
        0 if millis < 9.95 => format!("{millis:.1} ms"),
        0 => format!("{millis:.0} ms"),
    }
}

/// The same, of a message's field.
pub(crate) fn duration_of(message: Option<&prost_types::Duration>) -> Option<String> {
    Some(duration(duration_from_proto(message?)?))
}

/// Parses a date-and-time field: in UTC, unless it says otherwise. An empty field is no time; one
/// that cannot be read is an error.
pub(crate) fn parse(text: &str) -> Result<Option<Timestamp>, ()> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(Some(time));
    }
    let civil: DateTime = text.parse().map_err(|_| ())?;
    let zoned = civil.to_zoned(TimeZone::UTC).map_err(|_| ())?;
    Ok(Some(zoned.timestamp()))
}

pub(crate) fn to_proto(time: Option<Timestamp>) -> Option<prost_types::Timestamp> {
    time.map(timestamp_to_proto)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_as_exact_as_people_read_them() {
        let read = |micros| duration(Duration::from_micros(micros));
        assert_eq!(read(420), "0.4 ms");
        assert_eq!(read(9_960), "10 ms");
        assert_eq!(read(45_200), "45 ms");
        assert_eq!(read(1_240_000), "1.24 s");
        assert_eq!(read(10_004_000), "10.0 s");
        assert_eq!(read(125_000_000), "2 min 5 s");
    }

    #[test]
    fn a_field_is_in_utc_unless_it_says_otherwise() {
        let time = |text: &str| parse(text).map(|time| time.map(|time| time.to_string()));
        assert_eq!(time(""), Ok(None));
        assert_eq!(time("2026-04-23T10:30"), Ok(Some("2026-04-23T10:30:00Z".to_owned())));
        assert_eq!(time("2026-04-23T10:30:05Z"), Ok(Some("2026-04-23T10:30:05Z".to_owned())));
        assert_eq!(time("2026-04-23T12:30+02:00"), Ok(Some("2026-04-23T10:30:00Z".to_owned())));
        assert_eq!(time("yesterday"), Err(()));
    }

    #[test]
    fn a_moment_is_exact_for_programs_and_readable_for_people() {
        let moment = Moment("2026-04-23T10:30:00.123Z".parse().expect("a time"));
        assert_eq!(
            moment.to_string(),
            r#"<time datetime="2026-04-23T10:30:00.123Z" title="2026-04-23T10:30:00.123Z">2026-04-23 10:30:00 UTC</time>"#
        );
    }
}
