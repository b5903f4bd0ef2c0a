//! The retry schedule of deliveries, and durations as text.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::limits::{MAX_RETRIES, MAX_RETRY_DELAY};

/// The waits before the automatic retries, in order. If the attempt after the last wait fails, the
/// delivery has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySchedule(Vec<Duration>);

impl Default for RetrySchedule {
    /// 1 minute, 5 minutes, 30 minutes, 2 hours, 12 hours.
    fn default() -> Self {
        const MINUTE: u64 = 60;
        let seconds = [MINUTE, 5 * MINUTE, 30 * MINUTE, 120 * MINUTE, 720 * MINUTE];
        RetrySchedule(seconds.map(Duration::from_secs).to_vec())
    }
}

impl RetrySchedule {
    /// The number of automatic retries.
    pub fn retries(&self) -> usize {
        self.0.len()
    }

    /// The time from the first attempt to the last, without the attempts themselves.
    pub fn total(&self) -> Duration {
        self.0.iter().sum()
    }

    /// The wait after the `automatic_count`-th automatic attempt has failed. None if that was the last.
    /// A receiver that asks for a longer wait (`retry_after`) gets it, up to the wait of the next step
    /// of the schedule.
    pub fn wait_after(
        &self,
        automatic_count: u32,
        retry_after: Option<Duration>,
    ) -> Option<Duration> {
        let step = (automatic_count as usize).checked_sub(1)?;
        let scheduled = *self.0.get(step)?;
        let longest = (*self.0.get(step + 1).unwrap_or(&scheduled)).max(scheduled);
        Some(retry_after.unwrap_or(scheduled).clamp(scheduled, longest))
    }
}

/// A text that is not a retry schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// One of the waits is not a duration.
    #[error(
        "{0:?} is not a duration; write a number and ms, s, m, h or d, for example `1m,5m,30m,2h,12h`"
    )]
    Duration(String),
    /// A wait is longer than [`MAX_RETRY_DELAY`].
    #[error("{0:?} is longer than 7 days")]
    TooLong(String),
    /// There are more than [`MAX_RETRIES`] waits.
    #[error("at most {MAX_RETRIES} retries")]
    TooMany,
}

impl RetrySchedule {
    /// No retries.
    pub fn none() -> RetrySchedule {
        RetrySchedule(Vec::new())
    }
}

impl FromStr for RetrySchedule {
    type Err = InvalidSchedule;

    /// Durations separated by commas. Empty: no retries.
    fn from_str(text: &str) -> Result<Self, InvalidSchedule> {
        if text.trim().is_empty() {
            return Ok(RetrySchedule(Vec::new()));
        }
        let waits =
            text.split(',').map(|part| parse_wait(part.trim())).collect::<Result<Vec<_>, _>>()?;
        if waits.len() > MAX_RETRIES {
            return Err(InvalidSchedule::TooMany);
        }
        Ok(RetrySchedule(waits))
    }
}

fn parse_wait(text: &str) -> Result<Duration, InvalidSchedule> {
    let wait = parse_duration(text).ok_or_else(|| InvalidSchedule::Duration(text.to_owned()))?;
    if wait > MAX_RETRY_DELAY {
        return Err(InvalidSchedule::TooLong(text.to_owned()));
    }
    Ok(wait)
}

/// Parses a duration such as `10s`, `500ms`, `1h30m` or `30d`. None if it is negative, has no unit, or
/// is not a duration.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let signed: jiff::SignedDuration = match text.strip_suffix('d') {
        // A day is 24 hours here; jiff leaves days to calendars.
        Some(days) => {
            jiff::SignedDuration::from_hours(days.parse::<u32>().ok()?.into()).checked_mul(24)?
        }
        None => text.parse().ok()?,
    };
    Duration::try_from(signed).ok()
}

impl fmt::Display for RetrySchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, wait) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            let signed = jiff::SignedDuration::try_from(*wait).unwrap_or(jiff::SignedDuration::MAX);
            write!(f, "{separator}{signed:#}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_default_schedule_is_the_documented_one() {
        let schedule = RetrySchedule::default();
        let waits: Vec<_> = (1..=6).map(|count| schedule.wait_after(count, None)).collect();
        let documented = [60, 300, 1_800, 7_200, 43_200].map(|wait| Some(seconds(wait)));
        assert_eq!(waits[..5], documented);
        assert_eq!(waits[5], None, "the sixth attempt is the last");
        assert_eq!("1m,5m,30m,2h,12h".parse(), Ok(schedule));
    }

    #[test]
    fn retry_after_lengthens_a_wait_up_to_the_next_step_and_never_shortens_it() {
        let schedule = RetrySchedule::default();
        let wait = |count, asked| schedule.wait_after(count, Some(seconds(asked)));
        assert_eq!(wait(1, 10), Some(seconds(60)), "sooner than scheduled");
        assert_eq!(wait(1, 120), Some(seconds(120)), "later than scheduled");
        assert_eq!(wait(1, 100_000), Some(seconds(300)), "at most the next step");
        assert_eq!(wait(5, 100_000), Some(seconds(43_200)), "the last step has no next");
    }

    #[test]
    fn a_schedule_is_read_from_text() {
        let schedule: RetrySchedule = "250ms, 1s,1h30m".parse().expect("valid");
        assert_eq!(schedule.wait_after(1, None), Some(Duration::from_millis(250)));
        assert_eq!(schedule.wait_after(3, None), Some(seconds(5_400)));
        assert_eq!(schedule.to_string().parse(), Ok(schedule));
        assert_eq!("".parse::<RetrySchedule>().map(|none| none.retries()), Ok(0));
        for wrong in ["1", "1m,", "-1m", "soon", "8d", "1m;5m"] {
            assert!(wrong.parse::<RetrySchedule>().is_err(), "{wrong:?}");
        }
    }
}
