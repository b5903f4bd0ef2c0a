//! Shows the progress of a long command: a bar on a terminal, a line every few seconds elsewhere. It
//! goes to stderr, so that stdout has only the command's results.

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use keeptrusts_webhooks_telemetry::print_stderr;

const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// The text is cut to the terminal's width, so that no line wraps.
const BAR: &str = "{bar:10} {wide_msg}";
/// Earlier, an estimate would reflect the start more than the work.
const MIN_TIME_FOR_ESTIMATE: Duration = Duration::from_secs(3);
/// How long there may be no progress before a message says so, and between such messages.
const QUIET_INTERVAL: Duration = Duration::from_secs(15);

/// The progress of a command. Several threads may report to it.
pub(crate) struct Progress {
    counted: &'static str,
    total: u64,
    state: Mutex<State>,
    bar: Option<ProgressBar>,
}

struct State {
    /// The first report and its time. What was done before says nothing about the pace.
    first: Option<(u64, Instant)>,
    last: Instant,
    last_line: Instant,
    is_finishing: bool,
}

impl Progress {
    /// `counted` names what is counted, for example "records".
    pub(crate) fn new(total: u64, counted: &'static str) -> Progress {
        let now = Instant::now();
        Progress {
            counted,
            total,
            state: Mutex::new(State {
                first: None,
                last: now,
                last_line: now,
                is_finishing: false,
            }),
            bar: stderr().is_terminal().then(|| bar(total)),
        }
    }

    pub(crate) fn reached(&self, done: u64) {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.last = now;
        let (first, began) = *state.first.get_or_insert((done, now));
        let line = ProgressLine {
            counted: self.counted,
            first,
            done,
            total: self.total.max(done),
            elapsed: now - began,
        };
        if let Some(bar) = &self.bar {
            bar.set_length(line.total);
            bar.set_position(done);
            bar.set_message(line.to_string());
        } else if now - state.last_line >= LINE_INTERVAL || done == self.total {
            // The last line is printed once, however often the end is reached.
            if !std::mem::replace(&mut state.is_finishing, done == self.total) {
                print_stderr!("{line}");
            }
            state.last_line = now;
        }
    }

    /// Does work, and prints from time to time how long there has been no progress.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(QUIET_INTERVAL) => self.print_if_quiet(),
            }
        }
    }

    fn print_if_quiet(&self) {
        let quiet = self.state.lock().unwrap_or_else(PoisonError::into_inner).last.elapsed();
        if quiet < QUIET_INTERVAL {
            return;
        }
        let text = format!(
            "no progress for {}: the database has a long statement, or hangs",
            rounded(quiet.as_secs())
        );
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None => print_stderr!("{text}"),
        }
    }

    /// Prints something without disturbing the bar.
    pub(crate) fn beside(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

/// The bar stays on the screen, above what is printed next.
impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}

fn bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    // A test parses the template.
    if let Ok(style) = ProgressStyle::with_template(BAR) {
        bar.set_style(style);
    }
    bar
}

/// The text for one report.
struct ProgressLine {
    counted: &'static str,
    /// What was done when the time began.
    first: u64,
    done: u64,
    total: u64,
    elapsed: Duration,
}

impl ProgressLine {
    fn left(&self) -> String {
        let here = self.done.saturating_sub(self.first);
        if self.done >= self.total {
            return "finishing".to_owned();
        }
        if here == 0 || self.elapsed < MIN_TIME_FOR_ESTIMATE {
            return "no estimate yet".to_owned();
        }
        let rest = (self.total - self.done) as f64;
        let seconds = self.elapsed.as_secs_f64() * rest / here as f64;
        format!("about {} left", rounded(seconds.ceil() as u64))
    }
}

impl fmt::Display for ProgressLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProgressLine { counted, done, total, .. } = self;
        let percent = (done * 100).checked_div(*total).unwrap_or(100);
        write!(f, "{done} of {total} {counted} ({percent} %), {}", self.left())
    }
}

/// Seconds below two minutes, minutes below two hours, hours and minutes below ten, then hours.
fn rounded(seconds: u64) -> String {
    let minutes = seconds.div_ceil(60);
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7_200 => format!("{minutes} min"),
        7_200..36_000 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} h", minutes.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(first: u64, done: u64, total: u64, seconds: u64) -> String {
        let elapsed = Duration::from_secs(seconds);
        ProgressLine { counted: "records", first, done, total, elapsed }.to_string()
    }

    #[test]
    fn a_line_says_how_much_is_done_and_how_long_the_rest_takes() {
        assert_eq!(line(0, 0, 200, 9), "0 of 200 records (0 %), no estimate yet");
        assert_eq!(line(0, 50, 200, 10), "50 of 200 records (25 %), about 30 s left");
        assert_eq!(line(0, 1, 200, 10), "1 of 200 records (0 %), about 34 min left");
        assert_eq!(line(0, 1, 1_000, 10), "1 of 1000 records (0 %), about 2 h 47 min left");
        assert_eq!(line(0, 200, 200, 10), "200 of 200 records (100 %), finishing");
        assert_eq!(line(0, 0, 0, 0), "0 of 0 records (100 %), finishing");
    }

    #[test]
    fn what_was_done_before_does_not_make_the_estimate_short() {
        assert_eq!(line(100, 150, 200, 10), "150 of 200 records (75 %), about 10 s left");
    }

    #[test]
    fn the_text_beside_the_bar_fits_a_terminal_of_80_columns() {
        let elapsed = Duration::from_secs(7_000);
        let (first, done, total) = (0, 10_000_000, 99_999_999);
        let text = ProgressLine { counted: "events and attempts", first, done, total, elapsed }
            .to_string();
        assert!("██████████ ".chars().count() + text.len() <= 80, "{text}");
    }

    #[test]
    fn the_bar_has_a_template_that_indicatif_reads() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
