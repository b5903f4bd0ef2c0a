//! Limits repeated log lines: the first few of a kind in a minute are logged, and the rest is summed
//! up in one line, so that no caller and no failure can fill the log.
//!
//! Lines from the same call site are of the same kind. So the limit needs no code where lines are
//! logged, and the number of kinds is bounded. Lines at DEBUG and TRACE are not limited.
//!
//! Decision: docs/decisions/logs-never-wait.md

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::dispatcher::{self, Dispatch, WeakDispatch};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines of a kind that are logged in a [`WINDOW`]. More than there are shards on Postgres, each of
/// which logs a line when a process starts or ends.
const LOGGED_PER_WINDOW: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Characters of a kind's first message that its summary repeats.
const MAX_MESSAGE_CHARS: usize = 200;

/// The target of lines about lines that are not in the log.
pub(crate) const TARGET: &str = "keeptrusts_webhooks::log";

static REPEATS: RepeatLimiter = RepeatLimiter::new(WINDOW);
static SUMMED_UP: AtomicU64 = AtomicU64::new(0);

/// Lines that were summed up, since the process began.
pub(crate) fn summed_up_lines() -> u64 {
    SUMMED_UP.load(Ordering::Relaxed)
}

/// Passes on lines to another layer, except repeated ones, which are summed up after the window.
///
/// Not a `Filter` of tracing-subscriber: version 0.3.23 does not clear what a filter of one layer has
/// decided about an event that no other layer wants, and applies it to the next event.
pub(crate) struct RepeatLayer<L> {
    lines: L,
    limiter: &'static RepeatLimiter,
    /// Gets the summaries.
    log: OnceLock<WeakDispatch>,
}

impl<L> RepeatLayer<L> {
    pub(crate) fn new(lines: L) -> RepeatLayer<L> {
        RepeatLayer::with(lines, &REPEATS)
    }

    fn with(lines: L, limiter: &'static RepeatLimiter) -> RepeatLayer<L> {
        RepeatLayer { lines, limiter, log: OnceLock::new() }
    }
}

impl<S: Subscriber, L: Layer<S>> Layer<S> for RepeatLayer<L> {
    fn on_register_dispatch(&self, log: &Dispatch) {
        self.lines.on_register_dispatch(log);
        // It is registered once.
        _ = self.log.set(log.downgrade());
    }

    fn on_layer(&mut self, subscriber: &mut S) {
        self.lines.on_layer(subscriber);
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.lines.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.lines.on_record(id, values, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.lines.on_enter(id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.lines.on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.lines.on_close(id, context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if self.limiter.is_logged(event, &self.log) {
            self.lines.on_event(event, context);
        }
    }
}

/// Logs the summaries that are not logged yet: for the end of the process.
pub(crate) fn report_all() {
    REPEATS.report_all();
}

/// Logs that lines were lost because nobody read them.
pub(crate) fn report_lost(lines: u64) {
    tracing::warn!(target: TARGET, lines, "log lines were lost: nobody read them");
}

struct RepeatLimiter {
    window: Duration,
    kinds: Mutex<Option<Kinds>>,
}

impl RepeatLimiter {
    const fn new(window: Duration) -> RepeatLimiter {
        RepeatLimiter { window, kinds: Mutex::new(None) }
    }

    /// Whether a line is logged. Otherwise it is counted.
    fn is_logged(&'static self, event: &Event<'_>, log: &OnceLock<WeakDispatch>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO || metadata.target() == TARGET {
            return true;
        }
        match self.with_kinds(|kinds| kinds.admit(metadata, Instant::now())) {
            Decision::Log => return true,
            Decision::LeaveOut => {}
            Decision::LeaveOutFirst => {
                // Not under the lock: formatting a message may panic, and panics are logged.
                let message = message(event);
                let must_start = self.with_kinds(|kinds| {
                    kinds.describe(metadata, message);
                    !std::mem::replace(&mut kinds.has_reporter, true)
                });
                if must_start {
                    let log = log.get().and_then(WeakDispatch::upgrade).unwrap_or_default();
                    self.start_reporter(log);
                }
            }
        }
        SUMMED_UP.fetch_add(1, Ordering::Relaxed);
        false
    }

    fn report_all(&self) {
        self.with_kinds(|kinds| kinds.take(|_| true)).iter().for_each(Summary::log);
    }

    /// Starts a thread that logs summaries when they are due.
    fn start_reporter(&'static self, log: Dispatch) {
        let report = move || dispatcher::with_default(&log, || self.report_when_due());
        let thread = thread::Builder::new().name("repeats".to_owned()).spawn(report);
        if thread.is_err() {
            // The next left-out kind tries again; the end of the process reports the rest.
            self.with_kinds(|kinds| kinds.has_reporter = false);
        }
    }

    /// Returns when nothing is left to report.
    fn report_when_due(&self) {
        loop {
            let now = Instant::now();
            let (due, next) = self.with_kinds(|kinds| {
                let due = kinds.take(|kind| kind.end <= now);
                let next = kinds.next_end();
                kinds.has_reporter = next.is_some();
                (due, next)
            });
            due.iter().for_each(Summary::log);
            let Some(next) = next else { return };
            thread::sleep(next.saturating_duration_since(now));
        }
    }

    fn with_kinds<T>(&self, act: impl FnOnce(&mut Kinds) -> T) -> T {
        let mut kinds: MutexGuard<'_, _> =
            self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        act(kinds.get_or_insert_with(|| Kinds::new(self.window)))
    }
}

struct Kinds {
    window: Duration,
    by_call_site: HashMap<Identifier, Kind>,
    /// Whether a thread is running that logs the summaries.
    has_reporter: bool,
}

/// The lines from one call site.
struct Kind {
    /// The end of the window, when its lines are summed up.
    end: Instant,
    logged: u32,
    left_out: u64,
    metadata: &'static Metadata<'static>,
    /// Of the first line that was left out.
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Log,
    LeaveOut,
    /// The first line that is left out since the last summary of its kind.
    LeaveOutFirst,
}

/// The lines of a kind that were left out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Summary {
    level: Level,
    target: &'static str,
    message: String,
    lines: u64,
}

impl Kinds {
    fn new(window: Duration) -> Kinds {
        Kinds { window, by_call_site: HashMap::new(), has_reporter: false }
    }

    /// Decides about a line, and counts it.
    fn admit(&mut self, metadata: &'static Metadata<'static>, now: Instant) -> Decision {
        let kind = self.by_call_site.entry(metadata.callsite()).or_insert_with(|| Kind {
            end: now + self.window,
            logged: 0,
            left_out: 0,
            metadata,
            message: String::new(),
        });
        // A new window begins only after the summary of the last one.
        if kind.end <= now && kind.left_out == 0 {
            (kind.end, kind.logged) = (now + self.window, 0);
        }
        if kind.logged < LOGGED_PER_WINDOW {
            kind.logged += 1;
            return Decision::Log;
        }
        kind.left_out += 1;
        if kind.left_out == 1 { Decision::LeaveOutFirst } else { Decision::LeaveOut }
    }

    /// Sets the message for the summary of a kind.
    fn describe(&mut self, metadata: &Metadata<'_>, message: String) {
        if let Some(kind) = self.by_call_site.get_mut(&metadata.callsite()) {
            kind.message = message;
        }
    }

    /// Takes the summaries of the chosen kinds.
    fn take(&mut self, is_chosen: impl Fn(&Kind) -> bool) -> Vec<Summary> {
        let kinds = self.by_call_site.values_mut();
        let chosen = kinds.filter(|kind| kind.left_out > 0 && is_chosen(kind));
        chosen.map(Kind::take_summary).collect()
    }

    /// When the next summary is due. None: nothing was left out.
    fn next_end(&self) -> Option<Instant> {
        let kinds = self.by_call_site.values();
        kinds.filter(|kind| kind.left_out > 0).map(|kind| kind.end).min()
    }
}

impl Kind {
    fn take_summary(&mut self) -> Summary {
        Summary {
            level: *self.metadata.level(),
            target: self.metadata.target(),
            message: std::mem::take(&mut self.message),
            lines: std::mem::take(&mut self.left_out),
        }
    }
}

impl Summary {
    /// Logs at the level of the lines that it stands for.
    fn log(&self) {
        const TEXT: &str = "more lines like this one were left out";
        let Summary { level, target, message, lines } = self;
        match *level {
            Level::ERROR => {
                tracing::error!(target: TARGET, like = message, from = target, lines, "{TEXT}")
            }
            Level::WARN => {
                tracing::warn!(target: TARGET, like = message, from = target, lines, "{TEXT}")
            }
            _ => tracing::info!(target: TARGET, like = message, from = target, lines, "{TEXT}"),
        }
    }
}

fn message(event: &Event<'_>) -> String {
    struct Message(String);
    impl Visit for Message {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            if field.name() == "message" {
                self.0 = format!("{value:?}");
            }
        }
    }
    let mut message = Message(String::new());
    event.record(&mut message);
    message.0.chars().take(MAX_MESSAGE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use tracing::level_filters::LevelFilter;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Records what is logged: the call sites, and the lines.
    #[derive(Clone, Default)]
    struct Recorder(Arc<Mutex<(Vec<&'static Metadata<'static>>, Vec<u8>)>>);

    impl<S: Subscriber> Layer<S> for Recorder {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().expect("not poisoned").0.push(event.metadata());
        }
    }

    impl io::Write for Recorder {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").1.extend(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn call_sites(log: impl FnOnce()) -> Vec<&'static Metadata<'static>> {
        let recorder = Recorder::default();
        let subscriber = tracing_subscriber::registry().with(recorder.clone());
        tracing::subscriber::with_default(subscriber, log);
        let (call_sites, _) = std::mem::take(&mut *recorder.0.lock().expect("not poisoned"));
        call_sites
    }

    #[test]
    fn the_first_lines_of_a_kind_are_logged_and_the_others_are_summed_up() {
        let refused_and_failed = call_sites(|| {
            tracing::info!("refused");
            tracing::warn!("failed");
        });
        let [refused, failed] = refused_and_failed[..] else { panic!("two call sites") };
        let (mut kinds, begin) = (Kinds::new(WINDOW), Instant::now());
        for _ in 0..LOGGED_PER_WINDOW {
            assert_eq!(kinds.admit(refused, begin), Decision::Log);
        }
        assert_eq!(kinds.next_end(), None, "nothing was left out");
        assert_eq!(kinds.admit(refused, begin), Decision::LeaveOutFirst);
        kinds.describe(refused, "refused".to_owned());
        for _ in 0..9 {
            assert_eq!(kinds.admit(refused, begin), Decision::LeaveOut);
        }
        assert_eq!(kinds.admit(failed, begin), Decision::Log, "another kind");

        let end = begin + WINDOW;
        assert_eq!(kinds.next_end(), Some(end));
        let summary = Summary {
            level: Level::INFO,
            target: refused.target(),
            message: "refused".to_owned(),
            lines: 10,
        };
        assert_eq!(kinds.take(|kind| kind.end <= end), [summary]);
        assert_eq!(kinds.next_end(), None);
        assert_eq!(kinds.admit(refused, end), Decision::Log, "a new window");
    }

    #[test]
    fn lines_from_one_call_site_are_one_kind_whatever_they_say() {
        let call_sites = call_sites(|| {
            for caller in 0..1_000 {
                tracing::info!(caller, "refused a call of {caller}");
            }
        });
        let (mut kinds, now) = (Kinds::new(WINDOW), Instant::now());
        let logged =
            call_sites.iter().filter(|call_site| kinds.admit(call_site, now) == Decision::Log);
        assert_eq!(logged.count(), LOGGED_PER_WINDOW as usize);
        assert_eq!(kinds.by_call_site.len(), 1);
    }

    #[test]
    fn the_summary_has_the_level_of_its_lines_and_debug_lines_are_not_limited() {
        let recorder = Recorder::default();
        let lines = {
            let recorder = recorder.clone();
            tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || recorder.clone())
        };
        static REPEATS: RepeatLimiter = RepeatLimiter::new(WINDOW);
        let lines = RepeatLayer::with(lines, &REPEATS).with_filter(LevelFilter::DEBUG);
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, || {
            for caller in 0..50 {
                tracing::warn!("refused a call of {caller}");
                tracing::debug!("answered");
            }
            REPEATS.report_all();
        });
        let text = String::from_utf8(recorder.0.lock().expect("not poisoned").1.clone());
        let text = text.expect("text");
        assert_eq!(
            text.matches("refused a call of").count(),
            LOGGED_PER_WINDOW as usize + 1,
            "{text}"
        );
        assert_eq!(text.matches("answered").count(), 50, "{text}");
        let summary = text.lines().find(|line| line.contains("were left out")).expect("a summary");
        for part in [" WARN ", "like=\"refused a call of 20\"", "lines=30", "repeated_lines::tests"]
        {
            assert!(summary.contains(part), "{part:?} in {summary}");
        }
    }

    #[test]
    fn the_summary_is_logged_after_the_window_without_another_line() {
        static REPEATS: RepeatLimiter = RepeatLimiter::new(Duration::from_millis(50));
        let (sender, lines) = std::sync::mpsc::channel();
        struct Sending(Mutex<std::sync::mpsc::Sender<(Level, String)>>);
        impl<S: Subscriber> Layer<S> for Sending {
            fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                let line = (*event.metadata().level(), message(event));
                // An error means that the test is over.
                _ = self.0.lock().expect("not poisoned").send(line);
            }
        }
        let before = summed_up_lines();
        let layer = RepeatLayer::with(Sending(Mutex::new(sender)), &REPEATS);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..LOGGED_PER_WINDOW + 3 {
                tracing::info!("refused");
            }
        });
        for _ in 0..LOGGED_PER_WINDOW {
            assert_eq!(lines.recv().expect("a line").1, "refused");
        }
        let summary = lines.recv_timeout(Duration::from_secs(30)).expect("nobody asks for it");
        assert_eq!(summary, (Level::INFO, "more lines like this one were left out".to_owned()));
        assert!(summed_up_lines() >= before + 3);
    }
}
