//! Hooks that run before metrics are collected, for values that must be read from the database. An
//! idle process without a collector reads nothing (invariant 11).
//!
//! Decision: docs/decisions/metrics-have-bounded-labels.md

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The shortest time between two runs, however many collect.
const MIN_INTERVAL: Duration = Duration::from_secs(5);
/// A hook that takes longer is cancelled, and its values stay as they were.
const HOOK_TIMEOUT: Duration = Duration::from_secs(5);

type Hook = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

static HOOKS: Mutex<Vec<Hook>> = Mutex::new(Vec::new());
static LAST_RUN: tokio::sync::Mutex<Option<Instant>> = tokio::sync::Mutex::const_new(None);

/// Registers a hook that runs before metrics are collected. It is removed when it returns false.
pub fn before_collecting<F>(hook: impl Fn() -> F + Send + Sync + 'static)
where
    F: Future<Output = bool> + Send + 'static,
{
    let hook: Hook = Arc::new(move || Box::pin(hook()));
    with_hooks(|hooks| hooks.push(hook));
}

/// Runs the hooks, unless they ran a moment ago.
pub(crate) async fn run() {
    let mut last_run = LAST_RUN.lock().await;
    if last_run.is_some_and(|time| time.elapsed() < MIN_INTERVAL) {
        return;
    }
    for hook in with_hooks(|hooks| hooks.clone()) {
        if let Ok(false) = tokio::time::timeout(HOOK_TIMEOUT, hook()).await {
            with_hooks(|hooks| hooks.retain(|other| !Arc::ptr_eq(other, &hook)));
        }
    }
    *last_run = Some(Instant::now());
}

fn with_hooks<T>(act: impl FnOnce(&mut Vec<Hook>) -> T) -> T {
    act(&mut HOOKS.lock().unwrap_or_else(PoisonError::into_inner))
}
