//! grpc.health.v1: whether the services of this process can serve.
//! <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService};

use crate::readiness::{Readiness, ReadinessReport};

/// The name that clients check to learn whether the process is alive, as with `/livez`.
const LIVENESS: &str = "liveness";
/// How often readiness is checked while a client watches.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// Sets the health of each service. The server as a whole, which clients check by an empty name,
/// serves while all of its services do. Clones share their state.
#[derive(Debug, Clone)]
pub struct ServiceHealth {
    reporter: HealthReporter,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    serving: BTreeMap<&'static str, bool>,
    /// Services whose readiness checks fail.
    not_ready: BTreeSet<&'static str>,
    shutting_down: bool,
}

impl ServiceHealth {
    pub(super) fn new() -> ServiceHealth {
        let state =
            State { serving: BTreeMap::new(), not_ready: BTreeSet::new(), shutting_down: false };
        ServiceHealth { reporter: HealthReporter::new(), state: Arc::new(Mutex::new(state)) }
    }

    /// Sets whether the service `S` can do its work.
    pub async fn set<S: NamedService>(&self, serving: bool) {
        self.set_by_name(S::NAME, serving).await;
    }

    /// Like [`set`](Self::set), by the service's full name, such as
    /// `keeptrusts.webhooks.v1.IngestService`.
    pub async fn set_by_name(&self, service: &'static str, serving: bool) {
        let mut state = self.state.lock().await;
        state.serving.insert(service, serving);
        self.publish(&state).await;
    }

    /// Services that nobody has set yet can do their work.
    pub(super) async fn register(&self, services: &[&'static str]) {
        let mut state = self.state.lock().await;
        for service in services {
            state.serving.entry(service).or_insert(true);
        }
        self.publish(&state).await;
    }

    /// From now on nothing serves, whatever is set later.
    pub(super) async fn shut_down(&self) {
        let mut state = self.state.lock().await;
        state.shutting_down = true;
        self.publish(&state).await;
    }

    async fn apply(&self, report: &ReadinessReport) {
        let mut state = self.state.lock().await;
        let services = state.serving.keys().copied();
        let not_ready = services.filter(|service| !report.is_ready_for(service)).collect();
        if state.not_ready != not_ready {
            state.not_ready = not_ready;
            self.publish(&state).await;
        }
    }

    pub(super) fn service(&self, readiness: Option<Readiness>) -> HealthServer<HealthApi> {
        let published = HealthService::from_health_reporter(self.reporter.clone());
        HealthServer::new(HealthApi { published, health: self.clone(), readiness })
    }

    async fn publish(&self, state: &State) {
        let serves = |service: &str, serving: bool| {
            serving && !state.not_ready.contains(service) && !state.shutting_down
        };
        let status = |serving: bool| match serving {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        for (service, serving) in &state.serving {
            let serving = serves(service, *serving);
            self.reporter.set_service_status(service, status(serving)).await;
        }
        let all_serve = state.serving.iter().all(|(service, serving)| serves(service, *serving));
        self.reporter.set_service_status("", status(all_serve)).await;
        // An answer proves that the process is alive, whatever else it lacks.
        self.reporter.set_service_status(LIVENESS, ServingStatus::Serving).await;
    }
}

/// The gRPC service. It checks readiness for every call, and periodically while a client watches.
pub(super) struct HealthApi {
    published: HealthService,
    health: ServiceHealth,
    readiness: Option<Readiness>,
}

#[tonic::async_trait]
impl health_server::Health for HealthApi {
    type WatchStream = HealthWatch;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if let Some(readiness) = &self.readiness {
            self.health.apply(&readiness.report().await).await;
        }
        self.published.check(request).await
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let checks = match self.readiness.clone() {
            Some(readiness) => {
                let health = self.health.clone();
                health.apply(&readiness.report().await).await;
                let checks = tokio::spawn(async move {
                    loop {
                        tokio::time::sleep(WATCH_INTERVAL).await;
                        health.apply(&readiness.report().await).await;
                    }
                });
                Some(AbortOnDropHandle::new(checks))
            }
            None => None,
        };
        let watched = self.published.watch(request).await?;
        Ok(watched.map(|statuses| HealthWatch { statuses, _checks: checks }))
    }
}

/// The statuses that a watching client gets. Dropping it stops the periodic checks.
pub(super) struct HealthWatch {
    statuses: Statuses,
    _checks: Option<AbortOnDropHandle<()>>,
}

type Statuses = <HealthService as health_server::Health>::WatchStream;

impl Stream for HealthWatch {
    type Item = <Statuses as Stream>::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.statuses).poll_next(context)
    }
}
