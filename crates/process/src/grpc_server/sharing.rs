//! What requests take while they are received and answered, and what becomes of those for which
//! there is nothing left.
//!
//! Decision: docs/decisions/shares-are-what-is-left.md

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::access::{Caller, Reach};
use keeptrusts_webhooks_domain::ids::OrganizationId;
use tonic::Status;

use super::limits::{LimitFlags, MAX_OPEN_CALLS, RETRY_DELAY, SMALLEST_MEMORY, WAITING_PART};
use super::peer::Peer;
use crate::connections::network_of;
use crate::refusals;
use crate::shares::{Exhausted, Purpose};

type Pool = crate::shares::Pool<Holder>;

/// What a request has of what all share.
pub(super) type Share = crate::shares::Share<Holder>;

/// Who has a share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Holder {
    /// Whoever is at an address (or an IPv6 network of 64 bits), as long as no key is known. None:
    /// this process.
    Address(Option<IpAddr>),
    /// All keys of an organization together.
    Organization(OrganizationId),
    /// Whoever acts with one key or web token, in every organization or in one.
    Actor(Arc<str>),
}

impl Holder {
    pub(super) fn at(peer: Option<&Peer>) -> Holder {
        let address = peer.and_then(|peer| peer.address);
        Holder::Address(address.map(|address| network_of(address.ip())))
    }

    /// The organization that a caller belongs to; the caller itself, if it
    /// belongs to none or to several: which one is in the body only.
    pub(super) fn of(caller: &Caller) -> Holder {
        match &caller.reach {
            Reach::Organization(id) => Holder::Organization(id.clone()),
            Reach::Everywhere | Reach::Several(_) => Holder::Actor(Arc::clone(&caller.actor)),
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

/// What there is to share.
#[derive(Debug)]
pub(super) struct Sharing {
    arriving: Arc<Pool>,
    memory: Arc<Pool>,
    running: Arc<Pool>,
    waiting: Arc<Pool>,
    watches: Arc<Pool>,
    watches_of_caller: Arc<Pool>,
    open: Arc<Pool>,
    health: Arc<Pool>,
}

/// A part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// Requests whose headers have come, and not all of their body.
    Arriving,
    /// What bodies, the messages that are made of them, and answers take up, in bytes.
    Memory,
    /// Requests that have come and are not answered yet.
    Running,
    /// Those among them that wait for what somebody else does.
    Waiting,
    /// Streams, of all callers of an organization.
    Watches,
    /// Streams of one caller.
    WatchesOfCaller,
    /// Streams that need no key: reflection, and those who watch the health.
    Open,
    /// Whoever asks for the health.
    Health,
}

impl What {
    const ALL: [What; 8] = [
        What::Arriving,
        What::Memory,
        What::Running,
        What::Waiting,
        What::Watches,
        What::WatchesOfCaller,
        What::Open,
        What::Health,
    ];

    /// For metrics and logs.
    fn name(self) -> &'static str {
        match self {
            What::Arriving => "arriving",
            What::Memory => "memory",
            What::Running => "running",
            What::Waiting => "waiting",
            What::Watches => "watches",
            What::WatchesOfCaller => "watches_of_caller",
            What::Open => "open",
            What::Health => "health",
        }
    }

    /// Where operators find the limit, for logs.
    fn limit(self) -> &'static str {
        match self {
            What::Arriving | What::Running | What::Waiting => "see --max-requests-in-flight",
            What::Memory => "see --max-request-memory",
            What::Watches => "see --max-watches",
            What::WatchesOfCaller => "see --max-watches-per-key",
            What::Open | What::Health => "whose limit is fixed",
        }
    }
}

impl Sharing {
    pub(super) fn new(limits: &LimitFlags) -> Arc<Sharing> {
        What::ALL.into_iter().for_each(|what| refusals::begin(what.name()));
        let requests = u64::from(limits.max_requests_in_flight);
        // One request must fit, whatever else is set.
        let smallest = SMALLEST_MEMORY * u64::from(limits.max_request_bytes);
        let memory = u64::from(limits.max_request_memory).max(smallest);
        Arc::new(Sharing {
            arriving: Pool::with_reserve(requests),
            memory: Pool::with_reserve(memory),
            running: Pool::with_reserve(requests),
            waiting: Pool::new(requests.div_ceil(WAITING_PART)),
            watches: Pool::new(u64::from(limits.max_watches)),
            watches_of_caller: Pool::for_each(u64::from(limits.max_watches_per_key)),
            open: Pool::new(MAX_OPEN_CALLS),
            health: Pool::new(MAX_OPEN_CALLS),
        })
    }

    /// A share of one. The status with which a request is turned away: RESOURCE_EXHAUSTED if its
    /// holder has its share, UNAVAILABLE if others have all of it.
    pub(super) fn take(
        &self,
        what: What,
        holder: &Holder,
        purpose: Purpose,
    ) -> Result<Share, Status> {
        let taken = self.pool(what).take(holder.clone(), purpose, 1);
        taken.map_err(|exhausted| refused(what, holder, exhausted))
    }

    /// A share that a caller's address had is the caller's now.
    pub(super) fn pass(
        &self,
        share: Share,
        what: What,
        holder: &Holder,
        purpose: Purpose,
    ) -> Result<Share, Status> {
        let passed = share.pass_to(holder, purpose);
        passed.map_err(|exhausted| refused(what, holder, exhausted))
    }

    /// A stream's share, of its organization's and of its caller's.
    pub(super) fn watch(&self, holder: &Holder, caller: &Caller) -> Result<[Share; 2], Status> {
        let own = Holder::Actor(Arc::clone(&caller.actor));
        Ok([
            self.take(What::WatchesOfCaller, &own, Purpose::Other)?,
            self.take(What::Watches, holder, Purpose::Other)?,
        ])
    }

    fn pool(&self, what: What) -> &Arc<Pool> {
        match what {
            What::Arriving => &self.arriving,
            What::Memory => &self.memory,
            What::Running => &self.running,
            What::Waiting => &self.waiting,
            What::Watches => &self.watches,
            What::WatchesOfCaller => &self.watches_of_caller,
            What::Open => &self.open,
            What::Health => &self.health,
        }
    }

    /// What a request takes up in memory: nothing yet.
    pub(super) fn memory(&self, holder: Holder, purpose: Purpose) -> Memory {
        Memory { share: Share::nothing_of(&self.memory, holder), purpose }
    }
}

/// What a request takes up in memory.
#[derive(Debug)]
pub(super) struct Memory {
    share: Share,
    purpose: Purpose,
}

impl Memory {
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Status> {
        let grown = self.share.grow(self.purpose, bytes as u64);
        grown.map_err(|exhausted| refused(What::Memory, self.share.holder(), exhausted))
    }

    /// What its request took is given back, and what its answer takes is taken. What changed
    /// something is done and must not look as if it were not, so that its answer is not refused.
    pub(super) fn pass_to_answer(&mut self, bytes: usize, may_refuse: bool) -> Result<(), Status> {
        let bytes = bytes as u64;
        self.shrink(bytes);
        let more = bytes - self.share.amount();
        if may_refuse {
            let grown = self.share.grow(self.purpose, more);
            return grown
                .map_err(|exhausted| refused(What::Memory, self.share.holder(), exhausted));
        }
        self.share.grow_regardless(more);
        Ok(())
    }

    /// Gives back what is more than so many bytes.
    pub(super) fn shrink(&mut self, bytes: u64) {
        drop(self.share.split_off(self.share.amount().saturating_sub(bytes)));
    }

    /// Bytes that it counts: no longer here, but wherever they are.
    pub(super) fn held_by(&mut self, bytes: Vec<u8>) -> Bytes {
        self.share.split_off(bytes.len() as u64).held_by(bytes)
    }

    /// What is needed for a moment besides: it is given back when it is dropped.
    pub(super) fn borrow(&self, bytes: u64) -> Result<Share, Status> {
        let mut borrowed = self.share.another();
        let grown = borrowed.grow(self.purpose, bytes);
        grown.map_err(|exhausted| refused(What::Memory, self.share.holder(), exhausted))?;
        Ok(borrowed)
    }
}

/// The status of a request for which there is nothing left, which the operator is told of.
fn refused(what: What, holder: &Holder, exhausted: Exhausted) -> Status {
    refusals::tell(what.name(), holder, exhausted, what.limit());
    match (exhausted, what) {
        (Exhausted::All, What::Watches | What::WatchesOfCaller) => status::unavailable(
            Reason::Overloaded,
            "as much is watched as this server can tell of: try again later",
            RETRY_DELAY,
        ),
        (Exhausted::All, _) => status::unavailable(
            Reason::Overloaded,
            "too many requests are in flight: send fewer at a time, and this one again later",
            RETRY_DELAY,
        ),
        (Exhausted::Own, What::Watches | What::WatchesOfCaller) => status::resource_exhausted_for(
            RETRY_DELAY,
            Reason::TooManyWatches,
            "as much is watched by this key, or by the organization, as may be: end a stream, or share one among those who look",
        ),
        (Exhausted::Own, What::Memory) => status::resource_exhausted_for(
            RETRY_DELAY,
            Reason::TooManyRequests,
            "the requests in flight, and the answers that are not read yet, take up as much memory as they may: read the answers, send smaller requests or fewer at a time, and this one again later",
        ),
        (Exhausted::Own, _) => status::resource_exhausted_for(
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
    fn whoever_reaches_several_organizations_is_a_holder_of_its_own() {
        let organization = |name: &str| name.parse::<OrganizationId>().expect("an id");
        let holder = |reach| {
            Holder::of(&Caller {
                actor: "oidc:ann".into(),
                name: "ann".into(),
                role: Role::Viewer,
                reach,
                expire_time: None,
                credential: Credential::WebToken,
                address: None,
            })
        };
        let (acme, globex) = (organization("acme"), organization("globex"));
        assert_eq!(holder(Reach::Organization(acme.clone())), Holder::Organization(acme.clone()));
        for reach in [Reach::Everywhere, Reach::Several([acme, globex].into())] {
            assert_eq!(holder(reach), Holder::Actor("oidc:ann".into()));
        }
    }
}
