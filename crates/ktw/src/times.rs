//! Times that people type, and times that they read.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, Zoned, civil};

/// A time as it is typed: `2h` (ago), `2026-04-23`, `2026-04-23 14:30`, or RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TypedTime {
    /// So long before now.
    Ago(SignedDuration),
    /// In the user's time zone.
    Local(civil::DateTime),
    /// With its offset.
    Exact(Timestamp),
}

impl TypedTime {
    /// Reads it; for clap.
    pub(crate) fn parse(text: &str) -> Result<TypedTime, String> {
        if let Ok(exact) = text.parse::<Timestamp>() {
            return Ok(TypedTime::Exact(exact));
        }
        if let Ok(local) = text.parse::<civil::DateTime>() {
            return Ok(TypedTime::Local(local));
        }
        match duration(text) {
            Ok(ago) => Ok(TypedTime::Ago(ago)),
            Err(_) => Err("not a time: use how long ago it was (`30m`, `2h`, `7d`), a date (`2026-04-23`), a date and a time (`2026-04-23 14:30`) or RFC 3339 (`2026-04-23T14:30:00Z`)".to_owned()),
        }
    }

    /// The time that is meant.
    pub(crate) fn resolve(self, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, String> {
        match self {
            TypedTime::Exact(time) => Ok(time),
            TypedTime::Local(local) => zone.to_timestamp(local).map_err(|error| error.to_string()),
            TypedTime::Ago(ago) => now.checked_sub(ago).map_err(|error| error.to_string()),
        }
    }
}

/// Reads how long something lasts: `90s`, `2h`, `7d`, `1h 30m`. A day has 24 hours.
pub(crate) fn duration(text: &str) -> Result<SignedDuration, String> {
    let wrong = || "not a duration: use for example `90s`, `30m`, `12h` or `7d`".to_owned();
    let span: Span = text.parse().map_err(|_| wrong())?;
    let relative = civil::date(2000, 1, 1);
    let signed = span.to_duration(relative).map_err(|_| wrong())?;
    match signed.is_negative() {
        true => Err(wrong()),
        false => Ok(signed),
    }
}

/// How tables show a time: in the zone, to the second.
pub(crate) fn shown(rfc3339: &str, zone: &TimeZone) -> String {
    match rfc3339.parse::<Timestamp>() {
        Ok(time) => {
            let zoned: Zoned = time.to_zoned(zone.clone());
            zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
        }
        Err(_) => rfc3339.to_owned(),
    }
}

/// The time zone of tables: a name of the IANA database, `local` or `utc`.
pub(crate) fn zone(text: &str) -> Result<TimeZone, String> {
    match text {
        "local" => Ok(TimeZone::system()),
        "utc" | "UTC" | "Z" => Ok(TimeZone::UTC),
        name => TimeZone::get(name).map_err(|_| {
            "not a time zone: use `local`, `utc` or a name such as `Europe/Berlin`".to_owned()
        }),
    }
}

/// A protobuf duration as people read it: `1.2s` as `1.2 s`, `0.043s` as `43 ms`.
pub(crate) fn shown_duration(json: &str) -> String {
    let seconds: Option<f64> = json.strip_suffix('s').and_then(|number| number.parse().ok());
    match seconds {
        Some(seconds) if seconds < 1.0 => format!("{:.0} ms", seconds * 1_000.0),
        Some(seconds) => format!("{seconds:.1} s"),
        None => json.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_typed_as_an_age_a_date_or_rfc_3339() {
        let now: Timestamp = "2026-04-23T12:00:00Z".parse().expect("a time");
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        let resolved = |text| {
            let typed = TypedTime::parse(text).expect("a time");
            typed.resolve(now, &zone).expect("it exists").to_string()
        };
        assert_eq!(resolved("2h"), "2026-04-23T10:00:00Z");
        assert_eq!(resolved("1d"), "2026-04-22T12:00:00Z");
        assert_eq!(resolved("2026-04-23"), "2026-04-22T22:00:00Z");
        assert_eq!(resolved("2026-04-23 14:30"), "2026-04-23T12:30:00Z");
        assert_eq!(resolved("2026-04-23T14:30:00+02:00"), "2026-04-23T12:30:00Z");
        assert!(TypedTime::parse("yesterday").is_err());
        assert!(TypedTime::parse("-2h").is_err());
    }

    #[test]
    fn times_and_durations_are_shown_short() {
        let zone = TimeZone::get("Europe/Berlin").expect("a zone");
        assert_eq!(shown("2026-04-23T12:00:00.25Z", &zone), "2026-04-23 14:00:00");
        assert_eq!(shown_duration("0.043s"), "43 ms");
        assert_eq!(shown_duration("1.25s"), "1.2 s");
    }
}
