//! Lines that repeat: the first few of a kind in a minute are shown, and the rest is summed up in
//! one line, so that no caller and no failure can fill the log.
//!
//! A kind is a place in the code that logs. So no such place can forget it, and there are never
//! more kinds than the program has places. Lines of the levels DEBUG and TRACE are shown to those
//! who have asked for them.
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

/// How many lines of a kind are shown in a [`WINDOW`]. More than there are shards on Postgres, each
/// of which is worth its line when a process starts or ends.
const SHOWN: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// How much of a kind's first message its sum repeats, in characters.
const MAX_MESSAGE_CHARS: usize = 200;

/// The target of the lines that tell what is not in the log.
pub(crate) const TARGET: &str = "keeptrusts_webhooks::log";

/// Of this process.
static REPEATS: Repeats = Repeats::over(WINDOW);
static SUMMED_UP: AtomicU64 = AtomicU64::new(0);

/// How many lines were not shown but summed up, since the process began.
pub(crate) fn summed_up_lines() -> u64 {
    SUMMED_UP.load(Ordering::Relaxed)
}

/// A layer of lines without repetitions; it tells of those when the minute is over.
///
/// Not a filter, though one may look at an event's content: tracing-subscriber 0.3.23 does not clear
/// what a filter of one layer has said about an event that no other layer wants, and applies it to
/// the next one.
pub(crate) struct Unrepeated<L> {
    lines: L,
    repeats: &'static Repeats,
    /// Where sums are told.
    log: OnceLock<WeakDispatch>,
}

impl<L> Unrepeated<L> {
    pub(crate) fn new(lines: L) -> Unrepeated<L> {
        Unrepeated::with(lines, &REPEATS)
    }

    fn with(lines: L, repeats: &'static Repeats) -> Unrepeated<L> {
        Unrepeated { lines, repeats, log: OnceLock::new() }
    }
}

impl<S: Subscriber, L: Layer<S>> Layer<S> for Unrepeated<L> {
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
        if self.repeats.is_shown(event, &self.log) {
            self.lines.on_event(event, context);
        }
    }
}

/// Tells of all lines that were left out and not told of yet: at the end of the process.
pub(crate) fn tell_all() {
    REPEATS.tell_all();
}

/// Tells that lines were lost because nobody read them.
pub(crate) fn tell_of_lost(lines: u64) {
    tracing::warn!(target: TARGET, lines, "log lines were lost: nobody read them");
}

/// What repeats in a log, and who tells of it.
struct Repeats {
    /// For how long lines of a kind count together.
    window: Duration,
    kinds: Mutex<Option<Kinds>>,
}

impl Repeats {
    const fn over(window: Duration) -> Repeats {
        Repeats { window, kinds: Mutex::new(None) }
    }

    /// Whether a line is shown; otherwise it is counted.
    fn is_shown(&'static self, event: &Event<'_>, log: &OnceLock<WeakDispatch>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO || metadata.target() == TARGET {
            return true;
        }
        match self.with_kinds(|kinds| kinds.admit(metadata, Instant::now())) {
            Admitted::Shown => return true,
            Admitted::LeftOut => {}
            Admitted::FirstLeftOut => {
                // Not under the lock: whatever makes a message may panic, and that is logged.
                let message = message(event);
                let must_watch = self.with_kinds(|kinds| {
                    kinds.describe(metadata, message);
                    !std::mem::replace(&mut kinds.is_watched, true)
                });
                if must_watch {
                    self.watch(log.get().and_then(WeakDispatch::upgrade).unwrap_or_default());
                }
            }
        }
        SUMMED_UP.fetch_add(1, Ordering::Relaxed);
        false
    }

    fn tell_all(&self) {
        self.with_kinds(|kinds| kinds.take(|_| true)).iter().for_each(Sum::tell);
    }

    /// Has a thread that tells when it is time.
    fn watch(&'static self, log: Dispatch) {
        let tell = move || dispatcher::with_default(&log, || self.tell_when_due());
        let thread = thread::Builder::new().name("repeats".to_owned()).spawn(tell);
        if thread.is_err() {
            // It is told at the end of the process, or a later line has better luck.
            self.with_kinds(|kinds| kinds.is_watched = false);
        }
    }

    /// Goes on for as long as there is something to tell of later.
    fn tell_when_due(&self) {
        loop {
            let now = Instant::now();
            let (due, next) = self.with_kinds(|kinds| {
                let due = kinds.take(|kind| kind.end <= now);
                let next = kinds.next_end();
                kinds.is_watched = next.is_some();
                (due, next)
            });
            due.iter().for_each(Sum::tell);
            let Some(next) = next else { return };
            thread::sleep(next.saturating_duration_since(now));
        }
    }

    fn with_kinds<T>(&self, act: impl FnOnce(&mut Kinds) -> T) -> T {
        let mut kinds: MutexGuard<'_, _> =
            self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        act(kinds.get_or_insert_with(|| Kinds::over(self.window)))
    }
}

struct Kinds {
    window: Duration,
    by_place: HashMap<Identifier, Kind>,
    /// There is a thread that will tell.
    is_watched: bool,
}

/// Lines from one place in the code.
struct Kind {
    /// When its lines are summed up.
    end: Instant,
    shown: u32,
    left_out: u64,
    metadata: &'static Metadata<'static>,
    /// Of the first line that was left out.
    message: String,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admitted {
    Shown,
    LeftOut,
    /// The first one since its kind was summed up.
    FirstLeftOut,
}

/// What was left out of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sum {
    level: Level,
    target: &'static str,
    message: String,
    lines: u64,
}

impl Kinds {
    fn over(window: Duration) -> Kinds {
        Kinds { window, by_place: HashMap::new(), is_watched: false }
    }

    /// What becomes of a line, which is counted.
    fn admit(&mut self, metadata: &'static Metadata<'static>, now: Instant) -> Admitted {
        let kind = self.by_place.entry(metadata.callsite()).or_insert_with(|| Kind {
            end: now + self.window,
            shown: 0,
            left_out: 0,
            metadata,
            message: String::new(),
        });
        // What was left out in the last minute is told before a new one begins.
        if kind.end <= now && kind.left_out == 0 {
            (kind.end, kind.shown) = (now + self.window, 0);
        }
        if kind.shown < SHOWN {
            kind.shown += 1;
            return Admitted::Shown;
        }
        kind.left_out += 1;
        if kind.left_out == 1 { Admitted::FirstLeftOut } else { Admitted::LeftOut }
    }

    /// What the lines of a kind say.
    fn describe(&mut self, metadata: &Metadata<'_>, message: String) {
        if let Some(kind) = self.by_place.get_mut(&metadata.callsite()) {
            kind.message = message;
        }
    }

    /// Takes what was left out of the kinds that are chosen.
    fn take(&mut self, is_chosen: impl Fn(&Kind) -> bool) -> Vec<Sum> {
        let kinds = self.by_place.values_mut();
        let chosen = kinds.filter(|kind| kind.left_out > 0 && is_chosen(kind));
        chosen.map(Kind::sum).collect()
    }

    /// When there is something to tell of next.
    fn next_end(&self) -> Option<Instant> {
        let kinds = self.by_place.values();
        kinds.filter(|kind| kind.left_out > 0).map(|kind| kind.end).min()
    }
}

impl Kind {
    fn sum(&mut self) -> Sum {
        Sum {
            level: *self.metadata.level(),
            target: self.metadata.target(),
            message: std::mem::take(&mut self.message),
            lines: std::mem::take(&mut self.left_out),
        }
    }
}

impl Sum {
    /// At the level of the lines that it stands for, so that whoever sees those sees it.
    fn tell(&self) {
        const TEXT: &str = "more lines like this one were left out";
        let Sum { level, target, message, lines } = self;
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

    /// Takes down what is logged: the places in the code, and the lines.
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<(Vec<&'static Metadata<'static>>, Vec<u8>)>>);

    impl<S: Subscriber> Layer<S> for Seen {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().expect("not poisoned").0.push(event.metadata());
        }
    }

    impl io::Write for Seen {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").1.extend(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn places(log: impl FnOnce()) -> Vec<&'static Metadata<'static>> {
        let seen = Seen::default();
        let subscriber = tracing_subscriber::registry().with(seen.clone());
        tracing::subscriber::with_default(subscriber, log);
        let (places, _) = std::mem::take(&mut *seen.0.lock().expect("not poisoned"));
        places
    }

    #[test]
    fn the_first_of_a_kind_in_a_minute_are_shown_and_the_rest_is_summed_up() {
        let refused_and_failed = places(|| {
            tracing::info!("refused");
            tracing::warn!("failed");
        });
        let [refused, failed] = refused_and_failed[..] else { panic!("two places") };
        let (mut kinds, begin) = (Kinds::over(WINDOW), Instant::now());
        for _ in 0..SHOWN {
            assert_eq!(kinds.admit(refused, begin), Admitted::Shown);
        }
        assert_eq!(kinds.next_end(), None, "nothing was left out, and nothing wakes");
        assert_eq!(kinds.admit(refused, begin), Admitted::FirstLeftOut);
        kinds.describe(refused, "refused".to_owned());
        for _ in 0..9 {
            assert_eq!(kinds.admit(refused, begin), Admitted::LeftOut);
        }
        assert_eq!(kinds.admit(failed, begin), Admitted::Shown, "another kind");

        let end = begin + WINDOW;
        assert_eq!(kinds.next_end(), Some(end));
        let sum = Sum {
            level: Level::INFO,
            target: refused.target(),
            message: "refused".to_owned(),
            lines: 10,
        };
        assert_eq!(kinds.take(|kind| kind.end <= end), [sum]);
        assert_eq!(kinds.next_end(), None);
        assert_eq!(kinds.admit(refused, end), Admitted::Shown, "a new minute");
    }

    #[test]
    fn whatever_is_logged_there_are_no_more_kinds_than_places_in_the_code() {
        let places = places(|| {
            for caller in 0..1_000 {
                tracing::info!(caller, "refused a call of {caller}");
            }
        });
        let (mut kinds, now) = (Kinds::over(WINDOW), Instant::now());
        let shown = places.iter().filter(|place| kinds.admit(place, now) == Admitted::Shown);
        assert_eq!(shown.count(), SHOWN as usize);
        assert_eq!(kinds.by_place.len(), 1);
    }

    #[test]
    fn the_sum_is_a_line_of_the_same_level_and_a_finer_level_is_not_summed_up() {
        let seen = Seen::default();
        let lines = {
            let seen = seen.clone();
            tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || seen.clone())
        };
        static REPEATS: Repeats = Repeats::over(WINDOW);
        let lines = Unrepeated::with(lines, &REPEATS).with_filter(LevelFilter::DEBUG);
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, || {
            for caller in 0..50 {
                tracing::warn!("refused a call of {caller}");
                tracing::debug!("answered");
            }
            REPEATS.tell_all();
        });
        let text = String::from_utf8(seen.0.lock().expect("not poisoned").1.clone());
        let text = text.expect("text");
        assert_eq!(text.matches("refused a call of").count(), SHOWN as usize + 1, "{text}");
        assert_eq!(text.matches("answered").count(), 50, "{text}");
        let sum = text.lines().find(|line| line.contains("were left out")).expect("a sum");
        for part in [" WARN ", "like=\"refused a call of 20\"", "lines=30", "repeats::tests"] {
            assert!(sum.contains(part), "{part:?} in {sum}");
        }
    }

    #[test]
    fn the_sum_is_told_when_its_time_is_over_whether_more_lines_come_or_not() {
        static REPEATS: Repeats = Repeats::over(Duration::from_millis(50));
        let (told, sums) = std::sync::mpsc::channel();
        struct Telling(Mutex<std::sync::mpsc::Sender<(Level, String)>>);
        impl<S: Subscriber> Layer<S> for Telling {
            fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                let line = (*event.metadata().level(), message(event));
                // An error: the test is over.
                _ = self.0.lock().expect("not poisoned").send(line);
            }
        }
        let before = summed_up_lines();
        let lines = Unrepeated::with(Telling(Mutex::new(told)), &REPEATS);
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..SHOWN + 3 {
                tracing::info!("refused");
            }
        });
        for _ in 0..SHOWN {
            assert_eq!(sums.recv().expect("shown").1, "refused");
        }
        let sum = sums.recv_timeout(Duration::from_secs(30)).expect("it is told by itself");
        assert_eq!(sum, (Level::INFO, "more lines like this one were left out".to_owned()));
        assert!(summed_up_lines() >= before + 3);
    }
}
