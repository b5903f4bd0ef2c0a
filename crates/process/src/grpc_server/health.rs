//! grpc.health.v1: how the services are.
//! <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{self, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService};

use crate::readiness::Readiness;

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
    /// What all of them need is there.
    is_ready: bool,
    shutting_down: bool,
}

impl Health {
    pub(super) fn new() -> Self {
        let state = State { serving: BTreeMap::new(), is_ready: true, shutting_down: false };
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

    /// Says whether what all services need is there.
    async fn set_ready(&self, is_ready: bool) {
        let mut state = self.state.lock().await;
        if std::mem::replace(&mut state.is_ready, is_ready) != is_ready {
            self.report(&state).await;
        }
    }

    pub(super) fn service(&self, readiness: Option<Readiness>) -> HealthServer<AskedHealth> {
        let told = HealthService::from_health_reporter(self.reporter.clone());
        HealthServer::new(AskedHealth { told, health: self.clone(), readiness })
    }

    async fn report(&self, state: &State) {
        let status = |serving: bool| match serving && state.is_ready && !state.shutting_down {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        for (service, serving) in &state.serving {
            self.reporter.set_service_status(service, status(*serving)).await;
        }
        let all_serve = state.serving.values().all(|serving| *serving);
        self.reporter.set_service_status("", status(all_serve)).await;
    }
}

/// The service: looks whether the process is ready when it is asked. Whoever watches hears of it
/// when somebody asks.
pub(super) struct AskedHealth {
    told: HealthService,
    health: Health,
    readiness: Option<Readiness>,
}

#[tonic::async_trait]
impl health_server::Health for AskedHealth {
    type WatchStream = <HealthService as health_server::Health>::WatchStream;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if let Some(readiness) = &self.readiness {
            self.health.set_ready(readiness.report().await.is_ready()).await;
        }
        self.told.check(request).await
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.told.watch(request).await
    }
}
