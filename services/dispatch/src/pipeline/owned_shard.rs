//! A shard that this process owns: the state that its stages share.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize};
use std::sync::{Arc, OnceLock};

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_rendering::Renderer;
use keeptrusts_webhooks_store::vault::keyring::Keyring;
use keeptrusts_webhooks_store::{Clock, Log, NewRecord, Operation};
use tokio_util::sync::CancellationToken;

use super::blocked_work::BlockedWork;
use super::current_router::CurrentRouter;
use super::delivery_target::{Availability, DeliveryTargets};
use super::health::FailingEndpoints;
use super::pauses::Pauses;
use super::steady_clock::SteadyClock;
use crate::dependencies::Dependencies;
use crate::lease::HeldLease;
use crate::mail::Mailer;
use crate::settings::Settings;
use crate::transport::Transport;

pub(crate) struct OwnedShard {
    pub(crate) lease: HeldLease,
    pub(crate) log: Arc<Log>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) mailer: Option<Arc<dyn Mailer>>,
    /// The wall clock, for times that people see. Waits use the
    /// [`steady_clock`](super::steady_clock).
    pub(crate) clock: Clock,
    pub(crate) steady_clock: SteadyClock,
    pub(crate) settings: Arc<Settings>,
    pub(crate) renderer: Renderer,
    /// Begin nothing new; finish what is under way.
    pub(crate) stop: CancellationToken,
    /// The lease is lost: drop everything at once.
    pub(crate) abort: CancellationToken,
    /// This process cannot work on the shard; another one may be able to.
    pub(crate) unfit: CancellationToken,
    /// Why this process cannot work on the shard, if the shard's log is damaged.
    pub(crate) damage: OnceLock<String>,
    /// The state that the last owner left has been read.
    pub(crate) is_ready: AtomicBool,
    /// The last record of the log that routing has processed.
    pub(crate) processed_position: AtomicI64,
    pub(crate) requests_under_way: AtomicUsize,
    pub(crate) blocked_work: BlockedWork,
    pub(super) router: CurrentRouter,
    pub(super) targets: DeliveryTargets,
    pub(super) failing: FailingEndpoints,
    pub(crate) pauses: Pauses,
}

/// Who causes the owner's records.
pub(super) const ACTOR: &str = "dispatch";

impl OwnedShard {
    pub(crate) fn new(lease: HeldLease, dependencies: Dependencies) -> OwnedShard {
        let Dependencies { log, keyring, transport, mailer, clock, uptime, settings, renderer } =
            dependencies;
        let steady_clock = SteadyClock::beginning(clock(), uptime);
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        OwnedShard {
            lease,
            log,
            keyring,
            transport,
            mailer,
            clock,
            steady_clock,
            settings,
            renderer,
            stop,
            abort,
            unfit: CancellationToken::new(),
            damage: OnceLock::new(),
            is_ready: AtomicBool::new(false),
            processed_position: AtomicI64::new(0),
            requests_under_way: AtomicUsize::new(0),
            blocked_work: BlockedWork::default(),
            router: CurrentRouter::default(),
            targets: DeliveryTargets::default(),
            failing: FailingEndpoints::default(),
            pauses: Pauses::default(),
        }
    }

    /// Whether an endpoint may be sent to, as far as this process knows.
    pub(crate) fn is_open(&self, endpoint_id: EndpointId) -> bool {
        let target = self.targets.get(endpoint_id);
        target.is_some_and(|target| target.availability() == Availability::Open)
    }

    /// An operation on one organization, refused if the lease is lost (invariant 5).
    pub(super) fn operation(
        &self,
        organization: &OrganizationId,
        records: Vec<NewRecord>,
        metadata: Metadata,
    ) -> Operation {
        let metadata = Metadata { actor: ACTOR.to_owned(), ..metadata };
        let operation = Operation::recording(organization, records, metadata, (self.clock)());
        Operation { fence: Some(self.lease.epoch()), ..operation }
    }
}
