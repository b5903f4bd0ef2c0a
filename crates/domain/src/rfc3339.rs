//! Times as receivers read them: RFC 3339 in UTC, with `Z`, in one of two forms.
//!
//! A time's own `Display` has as many digits of a second's fraction as it takes, which a format
//! string of the receiver's does not fit. Each of these has always the same number of characters.
//!
//! Decision: docs/decisions/bodies-have-whole-seconds.md

use jiff::fmt::temporal::DateTimePrinter;

use crate::Timestamp;

static SECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(0));
static MICROSECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(6));

/// Whole seconds, such as `2026-04-23T10:30:00Z`: the second in which it was, before 1970 as well.
pub fn seconds(time: Timestamp) -> String {
    SECONDS.timestamp_to_string(&time)
}

/// Six digits, such as `2026-04-23T10:30:00.250000Z`. What is finer is cut off.
pub fn microseconds(time: Timestamp) -> String {
    MICROSECONDS.timestamp_to_string(&time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_has_always_the_same_digits() {
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
            // Seconds are counted down from 1970, and read upwards all the same.
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
