//! Whether a process can do its work, for those who ask: an orchestrator, a load balancer, grpc's
//! own health service. Nobody asks, nothing is looked at.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_store::Log;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How long a look takes at most: something that hangs is not ready.
const LOOK_PATIENCE: Duration = Duration::from_secs(2);
/// How long what was seen is believed, however many ask.
const BELIEVED_FOR: Duration = Duration::from_secs(1);

type Look = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Something without which a process cannot work.
struct Check {
    name: &'static str,
    look: Box<dyn Fn() -> Look + Send + Sync>,
}

/// What a process needs to do its work.
#[derive(Clone)]
pub struct Readiness {
    checks: Arc<Vec<Check>>,
    shutdown: CancellationToken,
    seen: Arc<Mutex<Option<(Instant, Report)>>>,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report(Vec<(&'static str, Result<(), String>)>);

impl Report {
    /// Everything is as it must be.
    pub fn is_ready(&self) -> bool {
        self.0.iter().all(|(_, seen)| seen.is_ok())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, seen) in &self.0 {
            match seen {
                Ok(()) => writeln!(f, "ok: {name}")?,
                Err(problem) => writeln!(f, "not ok: {name}: {problem}")?,
            }
        }
        Ok(())
    }
}

impl Readiness {
    /// Nothing is needed but that the process is not about to end.
    pub fn new(shutdown: CancellationToken) -> Readiness {
        Readiness { checks: Arc::default(), shutdown, seen: Arc::default() }
    }

    /// One more thing that is needed. The problem that it tells is shown to everybody.
    pub fn needs<F>(self, name: &'static str, look: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let look = Box::new(move || Box::pin(look()) as Look);
        let mut checks = Arc::try_unwrap(self.checks).unwrap_or_default();
        checks.push(Check { name, look });
        Readiness { checks: Arc::new(checks), ..self }
    }

    /// The database is needed. (Its tables were brought up to date before anything is served.)
    pub fn needs_database(self, log: Arc<Log>) -> Self {
        self.needs("database", move || {
            let log = Arc::clone(&log);
            async move {
                let read = log.store().shard_state(Shard(0)).await;
                // What a database says is for the logs.
                read.map(drop).map_err(|_| "it does not answer".to_owned())
            }
        })
    }

    /// Looks, unless somebody has done so a moment ago.
    pub async fn report(&self) -> Report {
        let mut seen = self.seen.lock().await;
        let is_fresh = |time: &Instant| time.elapsed() < BELIEVED_FOR;
        let mut report = match seen.as_ref().filter(|(time, _)| is_fresh(time)) {
            Some((_, report)) => report.clone(),
            None => {
                let mut looked = Vec::with_capacity(self.checks.len());
                for Check { name, look } in self.checks.iter() {
                    let result = timeout(LOOK_PATIENCE, look()).await;
                    let late = || Err(format!("nothing is known after {LOOK_PATIENCE:?}"));
                    looked.push((*name, result.unwrap_or_else(|_| late())));
                }
                let report = Report(looked);
                *seen = Some((Instant::now(), report.clone()));
                report
            }
        };
        if self.shutdown.is_cancelled() {
            report.0.push(("staying", Err("the process is shutting down".to_owned())));
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_hangs_is_not_ready_and_the_others_are_still_told() {
        let readiness = Readiness::new(CancellationToken::new())
            .needs("good", async || Ok(()))
            .needs("hanging", async || std::future::pending().await)
            .needs("bad", async || Err("it is away".to_owned()));
        let report = readiness.report().await;
        assert!(!report.is_ready());
        let told =
            "ok: good\nnot ok: hanging: nothing is known after 2s\nnot ok: bad: it is away\n";
        assert_eq!(report.to_string(), told);
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_ask_it_is_looked_once_a_second() {
        let looks = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&looks);
        let readiness = Readiness::new(CancellationToken::new()).needs("counted", move || {
            counted.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }
        });
        for _ in 0..10 {
            assert!(readiness.report().await.is_ready());
        }
        assert_eq!(looks.load(Ordering::SeqCst), 1);
        tokio::time::advance(BELIEVED_FOR).await;
        readiness.report().await;
        assert_eq!(looks.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_process_that_is_about_to_end_is_not_ready() {
        let shutdown = CancellationToken::new();
        let readiness = Readiness::new(shutdown.clone());
        assert!(readiness.report().await.is_ready());
        shutdown.cancel();
        assert!(!readiness.report().await.is_ready());
    }
}
