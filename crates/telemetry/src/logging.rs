//! Structured logs on stderr. A thread of their own writes them ([`crate::output`]), and repeated
//! lines are summed up ([`crate::repeated_lines`]).

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
use crate::repeated_lines::RepeatLayer;
use crate::{call, panics, repeated_lines};

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
        // EnvFilter would take a misspelt level for the name of a module, and log nothing else.
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
    /// Starts the logs without traces and metrics, for commands.
    pub fn start_alone(&self) -> Result<(), TryInitError> {
        self.start(None)
    }

    /// Starts the logs, and the export of tracing's spans. An error if the process has done so before.
    pub(crate) fn start(&self, tracer: Option<SdkTracer>) -> Result<(), TryInitError> {
        let lines = tracing_subscriber::fmt::layer().with_writer(|| LogLines);
        let lines = match self.log_format {
            LogFormat::Human => lines.with_ansi(wants_colours()).boxed(),
            // With the current span only: it has the trace id that lines are searched by.
            LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
        };
        // OpenTelemetry's own lines at info are for its developers.
        let quiet =
            if self.log_level.0.contains("opentelemetry") { "" } else { ",opentelemetry=warn" };
        // The lines about lines that are left out are always logged.
        let level = format!("{}{quiet},{}=info", self.log_level.0, repeated_lines::TARGET);
        let lines = RepeatLayer::new(lines).with_filter(EnvFilter::new(level));
        let traces = tracer.map(|tracer| {
            let traces = tracing_opentelemetry::layer().with_tracer(tracer);
            // Source locations and threads are in the logs.
            let traces = traces.with_location(false).with_threads(false);
            let traces = traces.with_tracked_inactivity(false);
            // The hint makes debug events of libraries free.
            let filter = filter_fn(is_for_traces).with_max_level_hint(LevelFilter::INFO);
            traces.with_filter(filter)
        });
        tracing_subscriber::registry().with(lines).with(traces).try_init()?;
        panics::log_them();
        Ok(())
    }
}

/// Recorded calls, and the lines that are logged at info or above within them.
fn is_for_traces(metadata: &Metadata<'_>) -> bool {
    match metadata.is_span() {
        true => metadata.target() == call::RECORDED,
        false => *metadata.level() <= Level::INFO,
    }
}

/// Only on terminals, and unless NO_COLOR is set (<https://no-color.org>).
fn wants_colours() -> bool {
    let declined = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stderr().is_terminal() && !declined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_for_all_modules_or_for_one() {
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
