//! The pools that requests draw on while they are received and answered, and the statuses of
//! requests that get nothing from them.
//!
//! Decision: docs/decisions/shares-are-what-is-left.md

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::access::{Caller, OrganizationScope};
use keeptrusts_webhooks_domain::ids::OrganizationId;
use tokio::time::{Instant, sleep};
use tonic::Status;

use super::limits::{
    LimitFlags, MAX_MEMORY_WAIT, MAX_OPEN_CALLS, MEMORY_RETRY, MIN_REQUESTS_IN_MEMORY, RETRY_DELAY,
    WAITING_DIVISOR,
};
use super::peer::Peer;
use crate::connections::network_of;
use crate::refused_requests;
use crate::shares::{LimitReached, Purpose};

type Pool = crate::shares::Pool<Holder>;

/// A request's part of a pool.
pub(super) type Share = crate::shares::Share<Holder>;

/// Who is charged for a share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    /// The clients at an address, or in an IPv6 network of 64 bits, until their key is known.
    /// None: this process itself.
    Address(Option<IpAddr>),
    /// All keys of an organization together.
    Organization(OrganizationId),
    /// One key, or one subject of web tokens.
    Actor(Arc<str>),
}

impl Holder {
    pub(super) fn at(peer: Option<&Peer>) -> Holder {
        let address = peer.and_then(|peer| peer.address);
        Holder::Address(address.map(|address| network_of(address.ip())))
    }

    /// The caller's organization, or the caller itself if it has access to several: which of them a
    /// request is about is known only from its body.
    pub(super) fn of(caller: &Caller) -> Holder {
        match &caller.organizations {
            OrganizationScope::One(id) => Holder::Organization(id.clone()),
            OrganizationScope::All | OrganizationScope::Several(_) => {
                Holder::Actor(Arc::clone(&caller.actor))
            }
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Address(Some(address)) => write!(f, "address {address}"),
            Holder::Address(None) => f.write_str("this process"),
            Holder::Organization(id) => write!(f, "organization {id}"),
            Holder::Actor(actor) => write!(f, "caller {actor}"),
        }
    }
}

#[derive(Debug)]
pub(super) struct RequestPools {
    arriving: Arc<Pool>,
    memory: Arc<Pool>,
    running: Arc<Pool>,
    waiting: Arc<Pool>,
    watches: Arc<Pool>,
    watches_of_caller: Arc<Pool>,
    publish_streams: Arc<Pool>,
    publish_streams_of_caller: Arc<Pool>,
    open: Arc<Pool>,
    health: Arc<Pool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PoolKind {
    /// Requests whose headers have arrived, but not yet the whole body.
    Arriving,
    /// The bytes of bodies, of the messages decoded from them, and of answers.
    Memory,
    /// Requests that have arrived and are not answered yet.
    Running,
    /// Running requests that wait for somebody else, such as a receiver.
    Waiting,
    /// Watches, of all callers of an organization.
    Watches,
    /// Watches of one caller.
    WatchesOfCaller,
    /// Streams of events, of all callers of an organization.
    PublishStreams,
    /// Streams of events of one caller.
    PublishStreamsOfCaller,
    /// Streams that need no key: reflection, and watches of health.
    Open,
    /// Health checks.
    Health,
}

/// What a stream is for.
#[derive(Debug, Clone, Copy)]
pub(super) enum StreamKind {
    Watch,
    Publish,
}

impl PoolKind {
    const ALL: [PoolKind; 10] = [
        PoolKind::Arriving,
        PoolKind::Memory,
        PoolKind::Running,
        PoolKind::Waiting,
        PoolKind::Watches,
        PoolKind::WatchesOfCaller,
        PoolKind::PublishStreams,
        PoolKind::PublishStreamsOfCaller,
        PoolKind::Open,
        PoolKind::Health,
    ];

    /// The value of the label `what` in metrics, and of the field in logs.
    fn name(self) -> &'static str {
        match self {
            PoolKind::Arriving => "arriving",
            PoolKind::Memory => "memory",
            PoolKind::Running => "running",
            PoolKind::Waiting => "waiting",
            PoolKind::Watches => "watches",
            PoolKind::WatchesOfCaller => "watches_of_caller",
            PoolKind::PublishStreams => "publish_streams",
            PoolKind::PublishStreamsOfCaller => "publish_streams_of_caller",
            PoolKind::Open => "open",
            PoolKind::Health => "health",
        }
    }

    /// How operators change the limit, for logs.
    fn limit(self) -> &'static str {
        match self {
            PoolKind::Arriving | PoolKind::Running | PoolKind::Waiting => {
                "see --max-requests-in-flight"
            }
            PoolKind::Memory => "see --max-request-memory",
            PoolKind::Watches => "see --max-watches",
            PoolKind::WatchesOfCaller => "see --max-watches-per-key",
            PoolKind::PublishStreams => "see --max-publish-streams",
            PoolKind::PublishStreamsOfCaller => "see --max-publish-streams-per-key",
            PoolKind::Open | PoolKind::Health => "whose limit is fixed",
        }
    }
}

impl RequestPools {
    pub(super) fn new(limits: &LimitFlags) -> Arc<RequestPools> {
        PoolKind::ALL.into_iter().for_each(|pool| refused_requests::register(pool.name()));
        let requests = u64::from(limits.max_requests_in_flight);
        // The largest request must fit, whatever the flag says.
        let smallest = MIN_REQUESTS_IN_MEMORY * u64::from(limits.max_request_bytes);
        let memory = u64::from(limits.max_request_memory).max(smallest);
        Arc::new(RequestPools {
            arriving: Pool::with_reserve(requests),
            memory: Pool::with_reserve(memory),
            running: Pool::with_reserve(requests),
            waiting: Pool::new(requests.div_ceil(WAITING_DIVISOR)),
            watches: Pool::new(u64::from(limits.max_watches)),
            watches_of_caller: Pool::per_holder(u64::from(limits.max_watches_per_key)),
            publish_streams: Pool::new(u64::from(limits.max_publish_streams)),
            publish_streams_of_caller: Pool::per_holder(u64::from(
                limits.max_publish_streams_per_key,
            )),
            open: Pool::new(MAX_OPEN_CALLS),
            health: Pool::new(MAX_OPEN_CALLS),
        })
    }

    /// Takes one unit. RESOURCE_EXHAUSTED if the holder has used up its share, UNAVAILABLE if others
    /// have taken everything.
    pub(super) fn take(
        &self,
        pool: PoolKind,
        holder: &Holder,
        purpose: Purpose,
    ) -> Result<Share, Status> {
        let taken = self.pool(pool).take(holder.clone(), purpose, 1);
        taken.map_err(|limit| refused(pool, holder, limit))
    }

    /// Charges the caller for a share that was charged to its address.
    pub(super) fn transfer(
        &self,
        share: Share,
        pool: PoolKind,
        holder: &Holder,
        purpose: Purpose,
    ) -> Result<Share, Status> {
        let transferred = share.transfer_to(holder, purpose);
        transferred.map_err(|limit| refused(pool, holder, limit))
    }

    /// A stream counts twice: for its caller, and for the caller's organization.
    pub(super) fn take_stream(
        &self,
        kind: StreamKind,
        holder: &Holder,
        caller: Option<&Caller>,
    ) -> Result<Vec<Share>, Status> {
        let (of_caller, of_all) = match kind {
            StreamKind::Watch => (PoolKind::WatchesOfCaller, PoolKind::Watches),
            StreamKind::Publish => (PoolKind::PublishStreamsOfCaller, PoolKind::PublishStreams),
        };
        let mut shares = Vec::new();
        if let Some(caller) = caller {
            let own = Holder::Actor(Arc::clone(&caller.actor));
            shares.push(self.take(of_caller, &own, Purpose::Other)?);
        }
        shares.push(self.take(of_all, holder, Purpose::Other)?);
        Ok(shares)
    }

    fn pool(&self, pool: PoolKind) -> &Arc<Pool> {
        match pool {
            PoolKind::Arriving => &self.arriving,
            PoolKind::Memory => &self.memory,
            PoolKind::Running => &self.running,
            PoolKind::Waiting => &self.waiting,
            PoolKind::Watches => &self.watches,
            PoolKind::WatchesOfCaller => &self.watches_of_caller,
            PoolKind::PublishStreams => &self.publish_streams,
            PoolKind::PublishStreamsOfCaller => &self.publish_streams_of_caller,
            PoolKind::Open => &self.open,
            PoolKind::Health => &self.health,
        }
    }

    pub(super) fn memory(&self, holder: Holder, purpose: Purpose) -> RequestMemory {
        RequestMemory { share: Share::empty(&self.memory, holder), purpose }
    }
}

/// How much memory a request and its answer use.
#[derive(Debug)]
pub(super) struct RequestMemory {
    share: Share,
    purpose: Purpose,
}

impl RequestMemory {
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Status> {
        let grown = self.share.grow(self.purpose, bytes as u64);
        grown.map_err(|limit| refused(PoolKind::Memory, self.share.holder(), limit))
    }

    /// Like [`grow`](Self::grow), but waits for a while if there is no memory now.
    pub(super) async fn grow_patiently(&mut self, bytes: usize) -> Result<(), Status> {
        let latest = Instant::now() + MAX_MEMORY_WAIT;
        loop {
            match self.share.grow(self.purpose, bytes as u64) {
                Ok(()) => return Ok(()),
                Err(_) if Instant::now() < latest => sleep(MEMORY_RETRY).await,
                Err(limit) => return Err(refused(PoolKind::Memory, self.share.holder(), limit)),
            }
        }
    }

    /// All of it, as a share of its own.
    pub(super) fn split_all(&mut self) -> Share {
        self.share.split_off(u64::MAX)
    }

    /// Releases the request's bytes and takes the answer's. Only the answer of a method that reads
    /// may be refused: a change that was made must not look as if it had failed.
    pub(super) fn charge_answer(&mut self, bytes: usize, may_refuse: bool) -> Result<(), Status> {
        let bytes = bytes as u64;
        self.shrink(bytes);
        let more = bytes - self.share.amount();
        if may_refuse {
            let grown = self.share.grow(self.purpose, more);
            return grown.map_err(|limit| refused(PoolKind::Memory, self.share.holder(), limit));
        }
        self.share.force_grow(more);
        Ok(())
    }

    /// Releases all but `bytes`.
    pub(super) fn shrink(&mut self, bytes: u64) {
        drop(self.share.split_off(self.share.amount().saturating_sub(bytes)));
    }

    /// Moves the charge for these bytes into the returned buffer. It is released when the buffer's
    /// last reference is dropped.
    pub(super) fn attach_to(&mut self, bytes: Vec<u8>) -> Bytes {
        self.share.split_off(bytes.len() as u64).attach_to(bytes)
    }

    /// Takes more for a moment. Dropping the share releases it.
    pub(super) fn take_temporarily(&self, bytes: u64) -> Result<Share, Status> {
        let mut borrowed = self.share.empty_sibling();
        let grown = borrowed.grow(self.purpose, bytes);
        grown.map_err(|limit| refused(PoolKind::Memory, self.share.holder(), limit))?;
        Ok(borrowed)
    }
}

/// Counts and logs the refusal, and returns its status.
fn refused(pool: PoolKind, holder: &Holder, limit: LimitReached) -> Status {
    refused_requests::record(pool.name(), holder, limit, pool.limit());
    match (limit, pool) {
        (LimitReached::Total, PoolKind::Watches | PoolKind::WatchesOfCaller) => {
            status::unavailable(
                Reason::Overloaded,
                "as much is watched as this server can tell of: try again later",
                RETRY_DELAY,
            )
        }
        (LimitReached::Total, _) => status::unavailable(
            Reason::Overloaded,
            "too many requests are in flight: send fewer at a time, and this one again later",
            RETRY_DELAY,
        ),
        (LimitReached::Share, PoolKind::Watches | PoolKind::WatchesOfCaller) => {
            status::resource_exhausted_for(
                RETRY_DELAY,
                Reason::TooManyWatches,
                "as much is watched by this key, or by the organization, as may be: end a stream, or share one among those who look",
            )
        }
        (LimitReached::Share, PoolKind::PublishStreams | PoolKind::PublishStreamsOfCaller) => {
            status::resource_exhausted_for(
                RETRY_DELAY,
                Reason::TooManyStreams,
                "this key, or the organization, has as many streams of events as it may have: publish on one that is open, or end one",
            )
        }
        (LimitReached::Share, PoolKind::Memory) => status::resource_exhausted_for(
            RETRY_DELAY,
            Reason::TooManyRequests,
            "the requests in flight, and the answers that are not read yet, take up as much memory as they may: read the answers, send smaller requests or fewer at a time, and this one again later",
        ),
        (LimitReached::Share, _) => status::resource_exhausted_for(
            RETRY_DELAY,
            Reason::TooManyRequests,
            "as many requests are in flight as one organization, caller or address may have: send fewer at a time, and this one again later",
        ),
    }
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::access::{Credential, Role};

    use super::*;

    #[test]
    fn a_caller_with_access_to_several_organizations_is_charged_itself() {
        let organization = |name: &str| name.parse::<OrganizationId>().expect("an id");
        let holder = |organizations| {
            Holder::of(&Caller {
                actor: "oidc:ann".into(),
                name: "ann".into(),
                role: Role::Viewer,
                organizations,
                expire_time: None,
                credential: Credential::WebToken,
                address: None,
            })
        };
        let (acme, globex) = (organization("acme"), organization("globex"));
        assert_eq!(
            holder(OrganizationScope::One(acme.clone())),
            Holder::Organization(acme.clone())
        );
        for organizations in
            [OrganizationScope::All, OrganizationScope::Several([acme, globex].into())]
        {
            assert_eq!(holder(organizations), Holder::Actor("oidc:ann".into()));
        }
    }
}
