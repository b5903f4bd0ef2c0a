//! Times for receivers: RFC 3339 in UTC, with `Z`, in one of two forms.
//!
//! Each form always has the same number of characters, so that receivers can parse it with a format
//! string. A time's own `Display` has as many digits of the second's fraction as it needs.
//!
//! Decision: docs/decisions/bodies-have-whole-seconds.md

use jiff::fmt::temporal::DateTimePrinter;

use crate::Timestamp;

static SECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(0));
static MICROSECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(6));

/// Whole seconds, such as `2026-04-23T10:30:00Z`, rounded down, before 1970 too.
pub fn seconds(time: Timestamp) -> String {
    SECONDS.timestamp_to_string(&time)
}

/// Six digits of the second's fraction, such as `2026-04-23T10:30:00.250000Z`, rounded down.
pub fn microseconds(time: Timestamp) -> String {
    MICROSECONDS.timestamp_to_string(&time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_always_has_the_same_number_of_digits() {
        for (time, whole, exact) in [
            ("2026-04-23T10:30:00Z", "2026-04-23T10:30:00Z", "2026-04-23T10:30:00.000000Z"),
            ("2026-04-23T10:30:00.5Z", "2026-04-23T10:30:00Z", "2026-04-23T10:30:00.500000Z"),
            ("2026-04-23T10:30:00.25Z", "2026-04-23T10:30:00Z", "2026-04-23T10:30:00.250000Z"),
            (
                "2026-04-23T10:30:59.999999999Z",
                "2026-04-23T10:30:59Z",
                "2026-04-23T10:30:59.999999Z",
            ),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"),
            // Before 1970 the fraction still counts upwards.
            ("1969-12-31T23:59:59.75Z", "1969-12-31T23:59:59Z", "1969-12-31T23:59:59.750000Z"),
            ("1900-02-28T12:00:00.000001Z", "1900-02-28T12:00:00Z", "1900-02-28T12:00:00.000001Z"),
            ("0001-01-01T00:00:00.1Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.100000Z"),
            ("9999-12-30T22:00:00Z", "9999-12-30T22:00:00Z", "9999-12-30T22:00:00.000000Z"),
        ] {
            let parsed: Timestamp = time.parse().expect("a timestamp");
            assert_eq!((seconds(parsed).as_str(), microseconds(parsed).as_str()), (whole, exact));
        }
    }
}
