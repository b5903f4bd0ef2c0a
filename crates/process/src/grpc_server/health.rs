//! grpc.health.v1: how the services are.
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

use crate::readiness::{Readiness, Report};

/// The handle by which a process says how its services are. The server as a whole, which
/// clients ask for with an empty name, serves while all of them do.
#[derive(Debug, Clone)]
pub struct Health {
    reporter: HealthReporter,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    serving: BTreeMap<&'static str, bool>,
    /// Those for which something is missing that they need.
    lacking: BTreeSet<&'static str>,
    shutting_down: bool,
}

impl Health {
    pub(super) fn new() -> Self {
        let state =
            State { serving: BTreeMap::new(), lacking: BTreeSet::new(), shutting_down: false };
        Health { reporter: HealthReporter::new(), state: Arc::new(Mutex::new(state)) }
    }

    /// Says whether the service `S` can do its work.
    pub async fn set<S: NamedService>(&self, serving: bool) {
        self.set_by_name(S::NAME, serving).await;
    }

    /// The same by the service's full name, such as `keeptrusts.webhooks.v1.IngestService`.
    pub async fn set_by_name(&self, service: &'static str, serving: bool) {
        let mut state = self.state.lock().await;
        state.serving.insert(service, serving);
        self.report(&state).await;
    }

    /// What has not been said anything about can do its work.
    pub(super) async fn register(&self, services: &[&'static str]) {
        let mut state = self.state.lock().await;
        for service in services {
            state.serving.entry(service).or_insert(true);
        }
        self.report(&state).await;
    }

    /// Nothing serves from now on, whatever else is said.
    pub(super) async fn shut_down(&self) {
        let mut state = self.state.lock().await;
        state.shutting_down = true;
        self.report(&state).await;
    }

    /// Says for which services something is missing that they need.
    async fn note(&self, report: &Report) {
        let mut state = self.state.lock().await;
        let services = state.serving.keys().copied();
        let lacking = services.filter(|service| !report.is_ready_for(service)).collect();
        if state.lacking != lacking {
            state.lacking = lacking;
            self.report(&state).await;
        }
    }

    pub(super) fn service(&self, readiness: Option<Readiness>) -> HealthServer<AskedHealth> {
        let told = HealthService::from_health_reporter(self.reporter.clone());
        HealthServer::new(AskedHealth { told, health: self.clone(), readiness })
    }

    async fn report(&self, state: &State) {
        let serves = |service: &str, serving: bool| {
            serving && !state.lacking.contains(service) && !state.shutting_down
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
        // Whoever gets an answer has it from a process that is alive, whatever it lacks.
        self.reporter.set_service_status(LIVENESS, ServingStatus::Serving).await;
    }
}

/// The name by which clients ask whether the process is alive, as `/livez` does.
const LIVENESS: &str = "liveness";
/// How often it is looked while somebody watches.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// The service: looks whether the process is ready when it is asked, and now and then while
/// somebody watches.
pub(super) struct AskedHealth {
    told: HealthService,
    health: Health,
    readiness: Option<Readiness>,
}

#[tonic::async_trait]
impl health_server::Health for AskedHealth {
    type WatchStream = Watch;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if let Some(readiness) = &self.readiness {
            self.health.note(&readiness.report().await).await;
        }
        self.told.check(request).await
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let looking = match self.readiness.clone() {
            Some(readiness) => {
                let health = self.health.clone();
                health.note(&readiness.report().await).await;
                let looking = tokio::spawn(async move {
                    loop {
                        tokio::time::sleep(WATCH_INTERVAL).await;
                        health.note(&readiness.report().await).await;
                    }
                });
                Some(AbortOnDropHandle::new(looking))
            }
            None => None,
        };
        let told = self.told.watch(request).await?;
        Ok(told.map(|statuses| Watch { statuses, _looking: looking }))
    }
}

/// What a watcher is told; while it is, it is looked.
pub(super) struct Watch {
    statuses: Statuses,
    _looking: Option<AbortOnDropHandle<()>>,
}

type Statuses = <HealthService as health_server::Health>::WatchStream;

impl Stream for Watch {
    type Item = <Statuses as Stream>::Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.statuses).poll_next(context)
    }
}
