//! Parses Retry-After (RFC 9110 section 10.2.3) in each of its legal forms.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// What the Retry-After fields of a response say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RetryAfter {
    /// The wait that the receiver asks for. None: it asks for none, or the date has passed.
    pub wait: Option<Duration>,
    /// Whether there are fields, and none of them is seconds or a date.
    pub is_unreadable: bool,
}

impl RetryAfter {
    /// Parses the values of the Retry-After fields of a response. There should be one. Of several the
    /// longest counts: the wait is bounded anyway, and a receiver that sends two may be overloaded.
    ///
    /// A date is relative to the response's own `date` field if that can be parsed, because the
    /// receiver's clock may differ from ours; otherwise to `now`, when the response came.
    pub fn of<'a>(
        fields: impl IntoIterator<Item = &'a [u8]>,
        date: Option<&str>,
        now: Timestamp,
    ) -> RetryAfter {
        let now = now.to_zoned(TimeZone::UTC).datetime();
        let answered = date.and_then(|date| http_date(date, now)).unwrap_or(now);
        let (mut wait, mut readable, mut unreadable) = (None, false, false);
        for field in fields {
            match std::str::from_utf8(field)
                .ok()
                .and_then(|field| requested_wait(field, answered, now))
            {
                Some(requested) => (wait, readable) = (wait.max(requested), true),
                None => unreadable = true,
            }
        }
        RetryAfter { wait, is_unreadable: unreadable && !readable }
    }
}

/// The wait that one field asks for, Some(None) if its date has passed. None: it cannot be parsed.
fn requested_wait(field: &str, answered: DateTime, now: DateTime) -> Option<Option<Duration>> {
    let field = field.trim_matches(WHITESPACE);
    let wait = delay_seconds(field).map(Some);
    wait.or_else(|| http_date(field, now).map(|date| until(date, answered)))
}

/// The white space that may surround a field's value (RFC 9110 section 5.6.3).
const WHITESPACE: [char; 2] = [' ', '\t'];

/// `1*DIGIT` of any length. A number that does not fit is as long as possible.
fn delay_seconds(field: &str) -> Option<Duration> {
    let is_number = !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Duration::from_secs(field.parse().unwrap_or(u64::MAX)))
}

fn until(date: DateTime, answered: DateTime) -> Option<Duration> {
    // A negative difference: the date has passed.
    Duration::try_from(date.duration_since(answered)).ok()
}

/// Parses a date in one of the three forms of RFC 9110 section 5.6.7, in UTC. The day of the week is
/// ignored: it can add nothing but errors.
///
/// The result is a civil time because [`Timestamp`] ends a day before the last date of these forms.
fn http_date(text: &str, now: DateTime) -> Option<DateTime> {
    let text = text.trim_matches(WHITESPACE);
    let Some((_, date)) = text.split_once(", ") else {
        // asctime: "Sun Nov  6 08:49:37 1994"
        let (_, date) = text.split_once(' ')?;
        return DateTime::strptime("%b %e %H:%M:%S %Y", date).ok();
    };
    // IMF-fixdate: "Sun, 06 Nov 1994 08:49:37 GMT"
    let fixdate = DateTime::strptime("%d %b %Y %H:%M:%S GMT", date).ok();
    fixdate.or_else(|| rfc850_date(date, now)).or_else(|| {
        // Another time zone is not legal, but some servers send it.
        let zoned = jiff::fmt::rfc2822::DateTimeParser::new().parse_zoned(date).ok()?;
        Some(zoned.with_time_zone(TimeZone::UTC).datetime())
    })
}

/// Parses "Sunday, 06-Nov-94 08:49:37 GMT" without the day of the week. The year of two digits is the
/// latest one that is at most 50 years after now.
fn rfc850_date(date: &str, now: DateTime) -> Option<DateTime> {
    let (day_and_month, rest) = date.rsplit_once('-')?;
    let (year, time) = rest.split_once(' ')?;
    let has_two_digits = year.len() == 2 && year.bytes().all(|byte| byte.is_ascii_digit());
    let year: i16 = has_two_digits.then(|| year.parse().ok()).flatten()?;
    let latest = now.checked_add(50.years()).ok()?;
    let century = now.year() / 100 * 100;
    let years = [century + 100, century, century - 100].map(|century| century + year);
    let mut dates = years.into_iter().filter_map(|year| {
        let text = format!("{day_and_month}-{year:04} {time}");
        DateTime::strptime("%d-%b-%Y %H:%M:%S GMT", text).ok()
    });
    dates.find(|date| *date <= latest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: &str = "2026-04-23T10:30:00Z";

    fn now() -> Timestamp {
        NOW.parse().expect("a timestamp")
    }

    fn read(fields: &[&str], date: Option<&str>) -> RetryAfter {
        RetryAfter::of(fields.iter().map(|field| field.as_bytes()), date, now())
    }

    fn asked(field: &str) -> Option<Duration> {
        read(&[field], None).wait
    }

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn seconds_are_digits_however_many() {
        for (field, wait) in [
            ("120", 120),
            ("0", 0),
            ("000000000000000000000000000120", 120),
            (" \t120\t ", 120),
            ("4294967296", 1 << 32),
            ("9999999999", 9_999_999_999),
            ("18446744073709551615", u64::MAX),
            ("18446744073709551616", u64::MAX),
            ("99999999999999999999999999999999999999999999", u64::MAX),
        ] {
            assert_eq!(asked(field), seconds(wait), "{field:?}");
        }
    }

    #[test]
    fn a_field_that_is_neither_seconds_nor_a_date_asks_for_no_wait() {
        for field in [
            "",
            " ",
            "soon",
            "-1",
            "+120",
            "1.5",
            "1e3",
            "0x10",
            "120s",
            "120, 60",
            "１２０",
            "2026-04-23T10:31:00Z",
            "Thu, 32 Apr 2026 10:31:00 GMT",
            "Thu, 23 Apr 2026 25:31:00 GMT",
            "Thursday, 23-Apr-026 10:31:00 GMT",
            "Thursday, 23-Apr-+6 10:31:00 GMT",
            "Thu, ",
            ", -",
            "Thu Apr",
        ] {
            let unreadable = RetryAfter { wait: None, is_unreadable: true };
            assert_eq!(read(&[field], None), unreadable, "{field:?}");
        }
        assert!(RetryAfter::of([&b"12\xff"[..]], None, now()).is_unreadable);
    }

    #[test]
    fn a_date_may_have_each_of_the_three_forms() {
        for field in [
            "Thu, 23 Apr 2026 10:31:00 GMT",
            "Thursday, 23-Apr-26 10:31:00 GMT",
            "Thu Apr 23 10:31:00 2026",
            // The day of the week and the zone may be wrong.
            "Mon, 23 Apr 2026 10:31:00 GMT",
            "Thu, 23 Apr 2026 12:31:00 +0200",
            " Thu, 23 Apr 2026 10:31:00 GMT\t",
        ] {
            let wait = RetryAfter { wait: seconds(60), is_unreadable: false };
            assert_eq!(read(&[field], None), wait, "{field:?}");
        }
        // A day of one digit has a space before it in asctime's form.
        assert_eq!(asked("Sat May  2 10:30:00 2026"), seconds(9 * 86_400));
        // A leap second is a second (section 5.6.7), if not one that this calendar has.
        assert_eq!(asked("Thu, 23 Apr 2026 10:30:60 GMT"), seconds(59));
        let over = read(&["Thu, 23 Apr 2026 10:29:59 GMT"], None);
        assert_eq!(over, RetryAfter::default(), "it has passed, but it can be parsed");
        let last = asked("Fri, 31 Dec 9999 23:59:59 GMT").expect("the last possible date");
        assert!(last > Duration::from_secs(7_900 * 365 * 86_400), "{last:?}");
    }

    #[test]
    fn a_year_of_two_digits_is_at_most_50_years_ahead() {
        let year = |text: &str, now: &str| {
            let now = now.parse().expect("a civil time");
            rfc850_date(text, now).map(|date| date.year())
        };
        let now = "2026-04-23T10:30:00";
        assert_eq!(year("06-Nov-94 08:49:37 GMT", now), Some(1994));
        assert_eq!(year("06-Nov-75 08:49:37 GMT", now), Some(2075));
        assert_eq!(year("23-Apr-76 10:30:00 GMT", now), Some(2076), "50 years are not more");
        assert_eq!(year("23-Apr-76 10:30:01 GMT", now), Some(1976));
        assert_eq!(year("01-Jan-00 00:00:00 GMT", "2099-12-31T23:59:00"), Some(2100));
        assert_eq!(
            year("29-Feb-00 00:00:00 GMT", "2099-12-31T23:59:00"),
            Some(2000),
            "2100 has none"
        );
    }

    #[test]
    fn a_date_is_relative_to_the_answers_own() {
        let field = "Thu, 23 Apr 2026 12:31:00 GMT";
        let asked = |date| read(&[field], date).wait;
        // The receiver's clock is two hours ahead. Its date may have each of the three forms.
        assert_eq!(asked(Some("Thu, 23 Apr 2026 12:30:30 GMT")), seconds(30));
        assert_eq!(asked(Some("Thursday, 23-Apr-26 12:30:30 GMT")), seconds(30));
        assert_eq!(asked(Some("Thu Apr 23 12:30:30 2026")), seconds(30));
        for unreadable in [None, Some(""), Some("now"), Some("0")] {
            assert_eq!(asked(unreadable), seconds(2 * 3_600 + 60), "{unreadable:?}");
        }
        assert_eq!(asked(Some("Thu, 23 Apr 2026 12:31:01 GMT")), None, "it is over");
        let date = Some("Thu, 23 Apr 2020 12:30:30 GMT");
        assert_eq!(read(&["5"], date).wait, seconds(5), "seconds need no date");
    }

    #[test]
    fn of_several_fields_the_longest_that_can_be_read_counts() {
        let asked = |fields: &[&str]| {
            let RetryAfter { wait, is_unreadable } = read(fields, None);
            (wait, is_unreadable)
        };
        let date = "Thu, 23 Apr 2026 10:31:00 GMT";
        assert_eq!(asked(&["5", date]), (seconds(60), false));
        assert_eq!(asked(&[date, "5", "0"]), (seconds(60), false));
        assert_eq!(asked(&["5", date, "soon"]), (seconds(60), false));
        assert_eq!(asked(&["soon", "5"]), (seconds(5), false));
        assert_eq!(asked(&["soon", "later"]), (None, true));
        assert_eq!(asked(&[]), (None, false));
    }

    proptest! {
        #[test]
        fn a_future_time_is_the_same_in_every_form(ahead in 0_i64..40 * 365 * 86_400) {
            let time = now() + Duration::from_secs(ahead as u64);
            for form in ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"] {
                let field = time.strftime(form).to_string();
                prop_assert_eq!(asked(&field), seconds(ahead as u64), "{}", field);
            }
        }

        #[test]
        fn digits_are_never_ignored_and_never_shortened(field in "[0-9]{1,60}") {
            let wait = asked(&field);
            prop_assert!(wait.is_some());
            let least: u64 = field.parse().unwrap_or(u64::MAX);
            prop_assert_eq!(wait, seconds(least));
        }

        #[test]
        fn no_field_makes_the_parser_panic(
            field in "\\PC{0,40}|[A-Za-z]{0,9},? [0-9A-Za-z: -]{0,30}( GMT)?",
            date in proptest::option::of("[A-Za-z]{3},? [0-9A-Za-z: -]{0,30}( GMT)?"),
        ) {
            read(&[&field], date.as_deref());
        }
    }
}
