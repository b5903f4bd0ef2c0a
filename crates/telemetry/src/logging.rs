//! Logs: structured, to stderr, off the threads that do the work ([`crate::output`]), and without
//! endless repetitions ([`crate::repeats`]).

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use opentelemetry_sdk::trace::SdkTracer;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer};

use crate::output::LogLines;
use crate::repeats::Unrepeated;
use crate::{call, panics, repeats};

/// The flags of the logs; flatten them into a process's own.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub struct LoggingFlags {
    /// How log lines look
    #[arg(long, value_enum, default_value_t = LogFormat::Human)]
    pub log_format: LogFormat,
    /// What is logged: a level (error, warn, info, debug, trace), also per module, such as
    /// info,sqlx=warn
    #[arg(long, default_value_t)]
    pub log_level: LogLevel,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people: a line of text each
    Human,
    /// For programs: a JSON object a line
    Json,
}

/// A filter of log lines, in the syntax of tracing-subscriber's EnvFilter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevel(String);

impl Default for LogLevel {
    fn default() -> Self {
        LogLevel("info".to_owned())
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // EnvFilter would take a misspelt level for the name of a module, and log nothing of
        // the others.
        let has_level = text.split(',').all(|directive| {
            let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level).trim();
            !level.is_empty() && level.parse::<LevelFilter>().is_ok()
        });
        if !has_level || EnvFilter::try_new(text).is_err() {
            return Err("write error, warn, info, debug, trace or off, also per module, for example info,sqlx=warn".to_owned());
        }
        Ok(LogLevel(text.to_owned()))
    }
}

impl LoggingFlags {
    /// Starts the logs and nothing else, for commands that end soon.
    pub fn start_alone(&self) -> Result<(), TryInitError> {
        self.start(None)
    }

    /// Starts the logs, and beside them the traces of what tracing sees. An error if this process
    /// has done so before.
    pub(crate) fn start(&self, tracer: Option<SdkTracer>) -> Result<(), TryInitError> {
        let lines = tracing_subscriber::fmt::layer().with_writer(|| LogLines);
        let lines = match self.log_format {
            LogFormat::Human => lines.with_ansi(wants_colours()).boxed(),
            // The span is the call's: its trace id is what lines are looked for by.
            LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
        };
        // What OpenTelemetry tells of itself at info is for its developers.
        let quiet =
            if self.log_level.0.contains("opentelemetry") { "" } else { ",opentelemetry=warn" };
        // What is left out of the log is told whatever else is chosen.
        let level = format!("{}{quiet},{}=info", self.log_level.0, repeats::TARGET);
        let lines = Unrepeated::new(lines).with_filter(EnvFilter::new(level));
        let traces = tracer.map(|tracer| {
            let traces = tracing_opentelemetry::layer().with_tracer(tracer);
            // Where it happened and on which thread is the logs' to say.
            let traces = traces.with_location(false).with_threads(false);
            let traces = traces.with_tracked_inactivity(false);
            // With a hint, so that finer events of libraries cost nothing.
            let filter = filter_fn(is_for_traces).with_max_level_hint(LevelFilter::INFO);
            traces.with_filter(filter)
        });
        tracing_subscriber::registry().with(lines).with(traces).try_init()?;
        panics::log_them();
        Ok(())
    }
}

/// Calls that are recorded, and what is worth a line while they are answered.
fn is_for_traces(metadata: &Metadata<'_>) -> bool {
    match metadata.is_span() {
        true => metadata.target() == call::RECORDED,
        false => *metadata.level() <= Level::INFO,
    }
}

/// Colours are for terminals whose users have not declined them (https://no-color.org).
fn wants_colours() -> bool {
    let declined = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stderr().is_terminal() && !declined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_stands_alone_or_for_a_module() {
        for right in
            ["info", "off", "WARN", "info,sqlx=warn", "warn,keeptrusts_webhooks_store=debug"]
        {
            assert!(right.parse::<LogLevel>().is_ok(), "{right:?}");
        }
        for wrong in ["", "inf", "sqlx", "sqlx=loud", "info,"] {
            assert!(wrong.parse::<LogLevel>().is_err(), "{wrong:?}");
        }
    }
}
