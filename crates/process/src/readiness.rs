//! Whether a process can do its work, for those who ask: an orchestrator, a load balancer, grpc's
//! own health service. Nobody asks, nothing is looked at.
//!
//! Decision: docs/decisions/health-is-looked-at-when-somebody-asks.md

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use keeptrusts_webhooks_store::{ErrorChain, Log, StoreError, TableVersions};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;

/// How long a look takes at most: something that hangs is not ready.
const LOOK_PATIENCE: Duration = Duration::from_secs(3);
/// How long of it the database may take for an answer: what keeps it from one is then known, and
/// there is time to see whether it commits.
const ANSWER_PATIENCE: Duration = Duration::from_millis(1_800);
/// How long what was seen is believed, however many ask.
const BELIEVED_FOR: Duration = Duration::from_secs(1);

type Look = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Something without which a process cannot work.
struct Check {
    name: &'static str,
    /// The one service that needs it, by its gRPC name; None: all of them.
    service: Option<&'static str>,
    look: Box<dyn Fn() -> Look + Send + Sync>,
}

/// What a process needs to do its work. Clones are the same.
#[derive(Clone)]
pub struct Readiness {
    inner: Arc<Inner>,
}

struct Inner {
    checks: Mutex<Vec<Arc<Check>>>,
    is_started: AtomicBool,
    shutdown: CancellationToken,
    seen: AsyncMutex<Option<(Instant, Report)>>,
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report(Vec<Seen>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    name: &'static str,
    service: Option<&'static str>,
    result: Result<(), String>,
}

impl Report {
    /// Everything is as it must be.
    pub fn is_ready(&self) -> bool {
        self.0.iter().all(|seen| seen.result.is_ok())
    }

    /// Everything that a service needs is.
    pub fn is_ready_for(&self, service: &str) -> bool {
        let concerns = |seen: &&Seen| seen.service.is_none_or(|needed_by| needed_by == service);
        self.0.iter().filter(concerns).all(|seen| seen.result.is_ok())
    }

    fn add(&mut self, name: &'static str, problem: &str) {
        self.0.push(Seen { name, service: None, result: Err(problem.to_owned()) });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Seen { name, service, result } in &self.0 {
            let service = service.map(|service| format!(" ({service})")).unwrap_or_default();
            match result {
                Ok(()) => writeln!(f, "ok: {name}{service}")?,
                Err(problem) => writeln!(f, "not ok: {name}{service}: {problem}")?,
            }
        }
        Ok(())
    }
}

impl Readiness {
    /// Of a process that is about to start.
    pub fn new(shutdown: CancellationToken) -> Readiness {
        Readiness {
            inner: Arc::new(Inner {
                checks: Mutex::default(),
                is_started: AtomicBool::new(false),
                shutdown,
                seen: AsyncMutex::default(),
            }),
        }
    }

    /// One more thing that all services need. The problem that it tells is shown to everybody.
    pub fn needs<F>(&self, name: &'static str, look: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.add(name, None, look);
    }

    /// The same of something that one service needs.
    pub fn needs_for<S: NamedService, F>(
        &self,
        name: &'static str,
        look: impl Fn() -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.add(name, Some(S::NAME), look);
    }

    fn add<F>(
        &self,
        name: &'static str,
        service: Option<&'static str>,
        look: impl Fn() -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let look = Box::new(move || Box::pin(look()) as Look);
        let check = Arc::new(Check { name, service, look });
        self.inner.checks.lock().unwrap_or_else(PoisonError::into_inner).push(check);
    }

    /// The database is needed, with its tables as this program knows them: it must answer, and
    /// take commits.
    pub fn needs_database(&self, log: &Arc<Log>) {
        let answering = Arc::clone(log);
        self.needs("database", move || {
            let log = Arc::clone(&answering);
            async move {
                let answers = log.store().answers(ANSWER_PATIENCE).await;
                answers.map_err(|error| no_answer(&error))?;
                let commits = log.can_commit().await;
                commits.map_err(|problem| format!("it takes no commits: {problem}"))
            }
        });
        let migrated = Arc::clone(log);
        self.needs("migrations", move || {
            let log = Arc::clone(&migrated);
            async move {
                let versions = log.store().table_versions().await;
                let TableVersions { found, needed } =
                    versions.map_err(|_| "it is not known which were applied".to_owned())?;
                match found >= needed {
                    true => Ok(()),
                    // It was put back to an older state, under our feet.
                    false => Err(format!(
                        "the tables are of version {found}, and this program needs {needed}: start it again"
                    )),
                }
            }
        });
    }

    /// The process has all that it needs to begin, and serves.
    pub fn started(&self) {
        self.inner.is_started.store(true, Ordering::Relaxed);
    }

    /// Looks, unless somebody has done so a moment ago.
    pub async fn report(&self) -> Report {
        let Inner { checks, is_started, shutdown, seen } = &*self.inner;
        let mut report = if is_started.load(Ordering::Relaxed) {
            let mut seen = seen.lock().await;
            let is_fresh = |time: &Instant| time.elapsed() < BELIEVED_FOR;
            match seen.as_ref().filter(|(time, _)| is_fresh(time)) {
                Some((_, report)) => report.clone(),
                None => {
                    let checks = checks.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let report = Report(join_all(checks.iter().map(|check| check.look())).await);
                    *seen = Some((Instant::now(), report.clone()));
                    report
                }
            }
        } else {
            let mut report = Report(Vec::new());
            report.add("started", "the process is still starting");
            report
        };
        if shutdown.is_cancelled() {
            report.add("staying", "the process is shutting down");
        }
        report
    }
}

/// Why the database does not answer: what it says besides is for the logs.
fn no_answer(error: &StoreError) -> String {
    tracing::warn!(error = %ErrorChain(error), "the database does not answer as it should");
    match error.problem() {
        Some(problem) => problem.to_string(),
        None => "it answers, but not as it should: the log says what".to_owned(),
    }
}

impl Check {
    async fn look(&self) -> Seen {
        let result = timeout(LOOK_PATIENCE, (self.look)()).await;
        let late = || Err(format!("nothing is known after {LOOK_PATIENCE:?}"));
        let result = result.unwrap_or_else(|_| late());
        Seen { name: self.name, service: self.service, result }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn started() -> Readiness {
        let readiness = Readiness::new(CancellationToken::new());
        readiness.started();
        readiness
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_is_not_ready_and_the_others_are_still_told() {
        let readiness = started();
        readiness.needs("good", async || Ok(()));
        readiness.needs("hanging", async || std::future::pending().await);
        readiness.needs("bad", async || Err("it is away".to_owned()));
        let report = readiness.report().await;
        assert!(!report.is_ready());
        let told =
            "ok: good\nnot ok: hanging: nothing is known after 3s\nnot ok: bad: it is away\n";
        assert_eq!(report.to_string(), told);
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_service_lacks_does_not_keep_another_from_its_work() {
        struct Working;
        impl NamedService for Working {
            const NAME: &'static str = "a.Working";
        }
        let readiness = started();
        readiness.needs_for::<Working, _>("tools", async || Err("there are none".to_owned()));
        let report = readiness.report().await;
        assert!(!report.is_ready() && !report.is_ready_for("a.Working"));
        assert!(report.is_ready_for("a.Resting"));
        assert_eq!(report.to_string(), "not ok: tools (a.Working): there are none\n");
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_ask_it_is_looked_once_a_second() {
        let looks = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&looks);
        let readiness = started();
        readiness.needs("counted", move || {
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
    async fn a_process_is_not_ready_before_it_has_started_and_when_it_is_about_to_end() {
        let shutdown = CancellationToken::new();
        let readiness = Readiness::new(shutdown.clone());
        assert!(!readiness.report().await.is_ready());
        readiness.started();
        assert!(readiness.report().await.is_ready());
        shutdown.cancel();
        assert!(!readiness.report().await.is_ready());
    }
}
