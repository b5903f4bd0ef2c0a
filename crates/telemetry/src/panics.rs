//! Logs panics. Otherwise std would write them to standard error, and block the panicking thread if
//! nobody reads.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

/// Sets the panic hook of the process.
pub(crate) fn log_them() {
    panic::set_hook(Box::new(log));
}

fn log(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let location = panic.location().map(tracing::field::display);
    let message = panic.payload_as_str().unwrap_or("without a message");
    // Empty unless RUST_BACKTRACE is set.
    let backtrace = Backtrace::capture();
    let is_captured = backtrace.status() == BacktraceStatus::Captured;
    let backtrace = is_captured.then(|| tracing::field::display(&backtrace));
    tracing::error!(thread, location, backtrace, "a panic, which is a defect of ours: {message}");
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{Event, Level};
    use tracing_subscriber::layer::{Context, SubscriberExt};

    use super::*;

    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<(Level, String)>>>);

    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Seen {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let line = (*event.metadata().level(), format!("{event:?}"));
            self.0.lock().expect("not poisoned").push(line);
        }
    }

    #[test]
    fn a_panic_is_logged() {
        let seen = Seen::default();
        let subscriber = tracing_subscriber::registry().with(seen.clone());
        let before = panic::take_hook();
        log_them();
        let outcome = tracing::subscriber::with_default(subscriber, || {
            panic::catch_unwind(|| panic!("the answer is {}", 42))
        });
        panic::set_hook(before);
        assert!(outcome.is_err());
        let lines = seen.0.lock().expect("not poisoned").clone();
        let [(level, line)] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!(*level, Level::ERROR);
        assert!(line.contains("the answer is 42") && line.contains("panics.rs"), "{line}");
    }
}
