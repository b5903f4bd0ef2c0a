//! Progress of long commands, on stderr if that is a terminal.

use std::fmt::{self, Write};
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};

/// Of an end that is not known: how many, and how many in a second.
pub(crate) fn counter(what: &str) -> ProgressBar {
    started(ProgressBar::new_spinner(), &format!("{{spinner}} {{pos}} {what}, {{rate}}"))
}

/// Of an end that is known: with the time that is left.
pub(crate) fn bar(what: &str) -> ProgressBar {
    started(ProgressBar::new(0), &format!("{{bar:30}} {{pos}} of {{len}} {what}, {{rate}}{{left}}"))
}

fn started(progress: ProgressBar, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let style = style
        .with_key("rate", |state: &ProgressState, text: &mut dyn Write| {
            let _ = write_rate(text, state.per_sec());
        })
        .with_key("left", |state: &ProgressState, text: &mut dyn Write| {
            let _ = write_left(text, state.per_sec(), state.eta());
        });
    let progress = progress.with_style(style);
    progress.enable_steady_tick(Duration::from_millis(200));
    progress
}

fn write_rate(text: &mut dyn Write, per_second: f64) -> fmt::Result {
    write!(text, "{per_second:.0} a second")
}

/// Nothing as long as nothing moves: how long that takes is not known.
fn write_left(text: &mut dyn Write, per_second: f64, left: Duration) -> fmt::Result {
    match per_second < 0.5 {
        true => Ok(()),
        false => write!(text, ", {} left", HumanDuration(left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_and_the_time_that_is_left_are_short() {
        let of = |per_second, left| {
            let mut text = String::new();
            write_rate(&mut text, per_second).expect("written");
            write_left(&mut text, per_second, Duration::from_secs(left)).expect("written");
            text
        };
        assert_eq!(of(99.97, 180), "100 a second, 3 minutes left");
        assert_eq!(of(0.0, 0), "0 a second");
    }
}
