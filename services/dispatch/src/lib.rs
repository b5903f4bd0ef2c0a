//! The dispatch service: owns shards, routes their events, attempts deliveries and records the
//! outcomes; and answers questions about deliveries.
//!
//! [`Dispatch`] is the work, [`api::DispatchApi`] the gRPC service. Both use only the log: any
//! replica can answer any request, because requests to a shard's owner are appended to the log.
//!
//! Decision: docs/decisions/requests-go-through-the-log.md

pub mod api;
mod dependencies;
pub mod flags;
mod gauges;
mod lease;
pub mod mail;
mod metrics;
mod ownership;
mod pipeline;
mod serving;
mod settings;
mod status;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_contracts::v1::dispatch_service_server::DispatchServiceServer;
use keeptrusts_webhooks_process::readiness::Readiness;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use dependencies::Dependencies;
pub use mail::Mailer;
pub use pipeline::scheduler;
pub use pipeline::steady_clock::{Uptime, machine_uptime};
pub use settings::Settings;
pub use transport::Transport;

use api::DispatchApi;
use ownership::Ownership;
use status::DispatchStatus;

/// How long the database may take to release the leases after giving up.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(500);

pub struct Dispatch {
    stop: CancellationToken,
    give_up: CancellationToken,
    status: Arc<DispatchStatus>,
    work: JoinHandle<()>,
}

impl Dispatch {
    /// Starts to own shards. `member` names this process among those that share the database.
    pub fn start(member: String, dependencies: Dependencies) -> Dispatch {
        metrics::register();
        let stop = CancellationToken::new();
        let lasts = dependencies
            .log
            .store()
            .is_shared()
            .then_some(dependencies.settings.lease_time_to_live);
        let status = DispatchStatus::new(lasts);
        gauges::observe(&status);
        let ownership = Ownership::new(member, dependencies, Arc::clone(&status));
        let give_up = CancellationToken::new();
        let work = tokio::spawn(ownership.run(stop.clone(), give_up.clone()));
        Dispatch { stop, give_up, status, work }
    }

    /// Makes the service's readiness depend on the leases being maintained, and on this process
    /// being able to work on every shard that it takes.
    pub fn needed_by(&self, readiness: &Readiness) {
        let (status, ended) = (Arc::clone(&self.status), self.work.abort_handle());
        readiness.add_service_check::<DispatchServiceServer<DispatchApi>, _>("leases", move || {
            let leases = match ended.is_finished() {
                // A defect of ours, which was logged: only a restart helps.
                true => Err("the work has ended: start the process again".to_owned()),
                false => status.check_leases(),
            };
            std::future::ready(leases)
        });
        let status = Arc::clone(&self.status);
        readiness.add_service_check::<DispatchServiceServer<DispatchApi>, _>("shards", move || {
            std::future::ready(status.check_shards())
        });
    }

    /// Begins nothing new, finishes the attempts under way and records them, then gives the shards
    /// back. Attempts that are not recorded after `patience` are repeated by the next owner.
    pub async fn stop(self, patience: Duration) {
        let Dispatch { stop, give_up, mut work, .. } = self;
        stop.cancel();
        let ended = match timeout(patience, &mut work).await {
            Ok(ended) => ended,
            Err(_) => {
                give_up.cancel();
                match timeout(RELEASE_TIMEOUT, work).await {
                    Ok(ended) => ended,
                    Err(_) => {
                        return tracing::warn!(
                            "cannot give the shards back; their leases will expire"
                        );
                    }
                }
            }
        };
        if let Err(error) = ended {
            tracing::error!(%error, "dispatch failed");
        }
    }
}
