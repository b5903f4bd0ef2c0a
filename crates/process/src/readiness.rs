//! Readiness of a process, for orchestrators, load balancers and gRPC health checks. Checks run only
//! when somebody asks.
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

/// A check that takes longer has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the database may take to answer. Less than [`CHECK_TIMEOUT`], so that the check still
/// has time to learn why it does not answer, or whether it commits.
const DATABASE_TIMEOUT: Duration = Duration::from_millis(1_800);
/// How long a report is reused, however many clients ask.
const REPORT_LIFETIME: Duration = Duration::from_secs(1);

type CheckFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Checks something that a process cannot work without.
struct Check {
    name: &'static str,
    /// The gRPC name of the only service that needs it. None: all services do.
    service: Option<&'static str>,
    run: Box<dyn Fn() -> CheckFuture + Send + Sync>,
}

/// The checks of a process. Clones share them.
#[derive(Clone)]
pub struct Readiness {
    inner: Arc<Inner>,
}

struct Inner {
    checks: Mutex<Vec<Arc<Check>>>,
    is_started: AtomicBool,
    shutdown: CancellationToken,
    last_report: AsyncMutex<Option<(Instant, ReadinessReport)>>,
}

/// The results of all checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadinessReport(Vec<CheckResult>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct CheckResult {
    name: &'static str,
    service: Option<&'static str>,
    result: Result<(), String>,
}

impl ReadinessReport {
    pub fn is_ready(&self) -> bool {
        self.0.iter().all(|check| check.result.is_ok())
    }

    /// Ignores the checks of other services.
    pub fn is_ready_for(&self, service: &str) -> bool {
        let concerns =
            |check: &&CheckResult| check.service.is_none_or(|needed_by| needed_by == service);
        self.0.iter().filter(concerns).all(|check| check.result.is_ok())
    }

    fn add(&mut self, name: &'static str, problem: &str) {
        self.0.push(CheckResult { name, service: None, result: Err(problem.to_owned()) });
    }
}

/// One line for each check, for `/readyz`.
impl fmt::Display for ReadinessReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for CheckResult { name, service, result } in &self.0 {
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
    /// The readiness of a process that has not [started](Self::started) yet.
    pub fn new(shutdown: CancellationToken) -> Readiness {
        Readiness {
            inner: Arc::new(Inner {
                checks: Mutex::default(),
                is_started: AtomicBool::new(false),
                shutdown,
                last_report: AsyncMutex::default(),
            }),
        }
    }

    /// Adds a check that concerns all services. Its error message is public.
    pub fn add_check<F>(&self, name: &'static str, run: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.add(name, None, run);
    }

    /// Adds a check that concerns the service `S` only.
    pub fn add_service_check<S: NamedService, F>(
        &self,
        name: &'static str,
        run: impl Fn() -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.add(name, Some(S::NAME), run);
    }

    fn add<F>(
        &self,
        name: &'static str,
        service: Option<&'static str>,
        run: impl Fn() -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let run = Box::new(move || Box::pin(run()) as CheckFuture);
        let check = Arc::new(Check { name, service, run });
        self.inner.checks.lock().unwrap_or_else(PoisonError::into_inner).push(check);
    }

    /// The database must answer, take commits, and have the tables that this program needs.
    pub fn add_database_checks(&self, log: &Arc<Log>) {
        let answering = Arc::clone(log);
        self.add_check("database", move || {
            let log = Arc::clone(&answering);
            async move {
                let answers = log.store().answers(DATABASE_TIMEOUT).await;
                answers.map_err(|error| no_answer(&error))?;
                let commits = log.can_commit().await;
                commits.map_err(|problem| format!("it takes no commits: {problem}"))
            }
        });
        let migrated = Arc::clone(log);
        self.add_check("migrations", move || {
            let log = Arc::clone(&migrated);
            async move {
                let versions = log.store().table_versions().await;
                let TableVersions { found, needed } =
                    versions.map_err(|_| "it is not known which were applied".to_owned())?;
                match found >= needed {
                    true => Ok(()),
                    // Somebody has restored an older backup while the process was running.
                    false => Err(format!(
                        "the tables are of version {found}, and this program needs {needed}: start it again"
                    )),
                }
            }
        });
    }

    /// The process serves from now on. Before this it is not ready, whatever the checks say.
    pub fn started(&self) {
        self.inner.is_started.store(true, Ordering::Relaxed);
    }

    /// Runs the checks, or reuses the last report if it is younger than [`REPORT_LIFETIME`].
    pub async fn report(&self) -> ReadinessReport {
        let Inner { checks, is_started, shutdown, last_report } = &*self.inner;
        let mut report = if is_started.load(Ordering::Relaxed) {
            let mut last_report = last_report.lock().await;
            let is_fresh = |time: &Instant| time.elapsed() < REPORT_LIFETIME;
            match last_report.as_ref().filter(|(time, _)| is_fresh(time)) {
                Some((_, report)) => report.clone(),
                None => {
                    let checks = checks.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let results = join_all(checks.iter().map(|check| check.result())).await;
                    let report = ReadinessReport(results);
                    *last_report = Some((Instant::now(), report.clone()));
                    report
                }
            }
        } else {
            let mut report = ReadinessReport(Vec::new());
            report.add("started", "the process is still starting");
            report
        };
        if shutdown.is_cancelled() {
            report.add("staying", "the process is shutting down");
        }
        report
    }
}

/// Why the database does not answer, in public words. Details are for the log only.
fn no_answer(error: &StoreError) -> String {
    tracing::warn!(error = %ErrorChain(error), "the database does not answer as it should");
    match error.problem() {
        Some(problem) => problem.to_string(),
        None => "it answers, but not as it should: the log says what".to_owned(),
    }
}

impl Check {
    async fn result(&self) -> CheckResult {
        let result = timeout(CHECK_TIMEOUT, (self.run)()).await;
        let late = || Err(format!("nothing is known after {CHECK_TIMEOUT:?}"));
        let result = result.unwrap_or_else(|_| late());
        CheckResult { name: self.name, service: self.service, result }
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
    async fn a_check_that_hangs_fails_and_the_others_are_still_reported() {
        let readiness = started();
        readiness.add_check("good", async || Ok(()));
        readiness.add_check("hanging", async || std::future::pending().await);
        readiness.add_check("bad", async || Err("it is away".to_owned()));
        let report = readiness.report().await;
        assert!(!report.is_ready());
        let lines =
            "ok: good\nnot ok: hanging: nothing is known after 3s\nnot ok: bad: it is away\n";
        assert_eq!(report.to_string(), lines);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_of_one_service_does_not_concern_another() {
        struct Working;
        impl NamedService for Working {
            const NAME: &'static str = "a.Working";
        }
        let readiness = started();
        readiness
            .add_service_check::<Working, _>("tools", async || Err("there are none".to_owned()));
        let report = readiness.report().await;
        assert!(!report.is_ready() && !report.is_ready_for("a.Working"));
        assert!(report.is_ready_for("a.Resting"));
        assert_eq!(report.to_string(), "not ok: tools (a.Working): there are none\n");
    }

    #[tokio::test(start_paused = true)]
    async fn checks_run_once_a_second_however_many_clients_ask() {
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let readiness = started();
        readiness.add_check("counted", move || {
            counted.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }
        });
        for _ in 0..10 {
            assert!(readiness.report().await.is_ready());
        }
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        tokio::time::advance(REPORT_LIFETIME).await;
        readiness.report().await;
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_process_is_not_ready_before_it_has_started_and_after_the_shutdown_has_begun() {
        let shutdown = CancellationToken::new();
        let readiness = Readiness::new(shutdown.clone());
        assert!(!readiness.report().await.is_ready());
        readiness.started();
        assert!(readiness.report().await.is_ready());
        shutdown.cancel();
        assert!(!readiness.report().await.is_ready());
    }
}
