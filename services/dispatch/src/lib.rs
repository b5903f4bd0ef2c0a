//! The dispatch service: owns shards, routes their events, makes the attempts and records what
//! came of them; and answers questions about deliveries.
//!
//! [`Dispatch`] is the work, [`api::DispatchApi`] the gRPC service. Both stand on the log alone: any replica
//! can answer any request, because what it asks of a shard's owner it appends to the log.
//!
//! Decision: docs/decisions/requests-go-through-the-log.md

pub mod api;
pub mod flags;
mod lease;
pub mod mail;
mod metrics;
mod ownership;
mod pipeline;
mod serving;
mod settings;
mod standing;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_contracts::v1::dispatch_service_server::DispatchServiceServer;
use keeptrusts_webhooks_process::readiness::Readiness;
use keeptrusts_webhooks_rendering::Renderer;
use keeptrusts_webhooks_store::vault::keyring::Keyring;
use keeptrusts_webhooks_store::{Clock, Log};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use mail::Mailer;
pub use pipeline::scheduler;
pub use pipeline::steady::{Uptime, machine_uptime};
pub use settings::Settings;
pub use transport::Transport;

use api::DispatchApi;
use lease::HeldLease;
use ownership::Ownership;
use standing::Standing;

/// What working on shards takes.
#[derive(Clone)]
pub struct Parts {
    /// The log.
    pub log: Arc<Log>,
    /// Opens the endpoints' secrets.
    pub keyring: Arc<Keyring>,
    /// Makes the requests.
    pub transport: Arc<dyn Transport>,
    /// Sends mail. None: there is no server for it.
    pub mailer: Option<Arc<dyn Mailer>>,
    /// What time it is, as people are told.
    pub clock: Clock,
    /// What time passes by.
    pub uptime: Uptime,
    /// How to work.
    pub settings: Arc<Settings>,
    /// Renders templates.
    pub renderer: Renderer,
}

impl Parts {
    fn shard(&self, lease: HeldLease) -> pipeline::Shard {
        pipeline::Shard::new(lease, self.clone())
    }
}

/// What the database may take to release the leases of a process that has given up.
const GIVING_BACK: Duration = Duration::from_millis(500);

/// The dispatch work of one process.
pub struct Dispatch {
    stop: CancellationToken,
    give_up: CancellationToken,
    standing: Arc<Standing>,
    work: JoinHandle<()>,
}

impl Dispatch {
    /// Begins to own shards. `member` names this process among those that share the database.
    pub fn start(member: String, parts: Parts) -> Dispatch {
        metrics::begin();
        let stop = CancellationToken::new();
        let lasts = parts.log.store().is_shared().then_some(parts.settings.lease_time_to_live);
        let standing = Standing::new(lasts);
        standing::show_before_collecting(&standing);
        let ownership = Ownership::new(member, parts, Arc::clone(&standing));
        let give_up = CancellationToken::new();
        let work = tokio::spawn(ownership.run(stop.clone(), give_up.clone()));
        Dispatch { stop, give_up, standing, work }
    }

    /// The service is ready only while the leases are looked after, and while this process can work
    /// on whatever shard it takes.
    pub fn needed_by(&self, readiness: &Readiness) {
        let (standing, ended) = (Arc::clone(&self.standing), self.work.abort_handle());
        readiness.needs_for::<DispatchServiceServer<DispatchApi>, _>("leases", move || {
            let seen = match ended.is_finished() {
                // A defect of ours, which the log has told: only another process can go on.
                true => Err("the work has ended: start the process again".to_owned()),
                false => standing.is_tended(),
            };
            std::future::ready(seen)
        });
        let standing = Arc::clone(&self.standing);
        readiness.needs_for::<DispatchServiceServer<DispatchApi>, _>("shards", move || {
            std::future::ready(standing.is_fit())
        });
    }

    /// Begins nothing new, finishes the attempts under way and records them, gives the shards
    /// back. Attempts that are not recorded after `patience` are repeated by the next owner.
    pub async fn stop(self, patience: Duration) {
        let Dispatch { stop, give_up, mut work, .. } = self;
        stop.cancel();
        let ended = match timeout(patience, &mut work).await {
            Ok(ended) => ended,
            Err(_) => {
                give_up.cancel();
                match timeout(GIVING_BACK, work).await {
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
