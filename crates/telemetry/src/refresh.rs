//! Figures that take a look somewhere else, at the database: they are looked up when somebody
//! collects metrics, and not otherwise (invariant 11).
//!
//! Decision: docs/decisions/metrics-have-bounded-labels.md

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// However many collect: looked up no more often than this.
const PAUSE: Duration = Duration::from_secs(5);
/// Whatever takes longer is left as it was.
const PATIENCE: Duration = Duration::from_secs(5);

type Look = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

static LOOKS: Mutex<Vec<Look>> = Mutex::new(Vec::new());
static LAST: tokio::sync::Mutex<Option<Instant>> = tokio::sync::Mutex::const_new(None);

/// Something to do before metrics are collected. False: there is nothing to look at any more, and
/// it is not asked again.
pub fn before_collecting<F>(look: impl Fn() -> F + Send + Sync + 'static)
where
    F: Future<Output = bool> + Send + 'static,
{
    let look: Look = Arc::new(move || Box::pin(look()));
    looks(|looks| looks.push(look));
}

/// Looks, unless somebody has done so a moment ago.
pub(crate) async fn refresh() {
    let mut last = LAST.lock().await;
    if last.is_some_and(|time| time.elapsed() < PAUSE) {
        return;
    }
    for look in looks(|looks| looks.clone()) {
        if let Ok(false) = tokio::time::timeout(PATIENCE, look()).await {
            looks(|looks| looks.retain(|other| !Arc::ptr_eq(other, &look)));
        }
    }
    *last = Some(Instant::now());
}

fn looks<T>(act: impl FnOnce(&mut Vec<Look>) -> T) -> T {
    act(&mut LOOKS.lock().unwrap_or_else(PoisonError::into_inner))
}
