//! grpc.health.v1: how the services are.
//! <https://github.com/grpc/grpc/blob/master/doc/health-checking.md>

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// The handle by which a process says how its services are. The server as a whole, which
/// clients ask for with an empty name, serves while all of them do.
#[derive(Debug, Clone)]
pub struct Health {
    reporter: HealthReporter,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    serving: BTreeMap<&'static str, bool>,
    shutting_down: bool,
}

impl Health {
    pub(super) fn new() -> Self {
        Health { reporter: HealthReporter::new(), state: Arc::default() }
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

    pub(super) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    async fn report(&self, state: &State) {
        let status = |serving: bool| match serving && !state.shutting_down {
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
