//! Following the log of one organization. Each shard that is followed has one reader, which hands
//! records to the followers of their organization and wakes nobody else.
//!
//! The records that a follower may leave unread are bounded. A slow follower misses some, notices,
//! and reads those from the log itself.
//!
//! Decision: docs/decisions/one-reader-for-all-followers-of-a-shard.md

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::{Position, Shard};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::task::AbortOnDropHandle;

use crate::error::StoreError;
use crate::limits::{FEED_BATCHES, FEED_RECORDS};
use crate::log::follower::Follower;
use crate::log::operation::Record;
use crate::log::shards::Shards;
use crate::queries::long_reads::LongReads;

/// The feeds of a log.
pub(crate) struct Feeds {
    shards: Arc<Shards>,
    long_reads: Arc<LongReads>,
    /// A feed lives as long as somebody follows it.
    by_shard: Mutex<HashMap<Shard, Weak<Feed>>>,
}

/// One shard's reader, and how far it has come.
struct Feed {
    shared: Arc<Shared>,
    _reader: AbortOnDropHandle<()>,
}

struct Shared(Mutex<State>);

struct State {
    /// Records up to this position were handed out.
    position: Position,
    organizations: HashMap<OrganizationId, Channel>,
    /// The database did not answer: no more records will come.
    has_ended: bool,
}

struct Channel {
    sender: broadcast::Sender<Arc<Batch>>,
    /// The last position of the last batch, or where the channel began.
    sent: Position,
}

struct Batch {
    /// The organization has no record between this position and the first one.
    after: Position,
    records: Vec<Arc<Record>>,
}

impl Batch {
    fn last(&self) -> Position {
        self.records.last().map_or(self.after, |record| record.position)
    }
}

/// An organization's next records.
#[derive(Debug, Clone)]
pub struct OrganizationRecords {
    /// The organization has no record between this position and the first of these.
    pub after: Position,
    /// The records, in order; at least one.
    pub records: Vec<Arc<Record>>,
}

/// Reads an organization's part of a shard's log along as it grows, without polling.
pub struct OrganizationFollower {
    feeds: Arc<Feeds>,
    shard: Shard,
    organization: OrganizationId,
    feed: Arc<Feed>,
    batches: broadcast::Receiver<Arc<Batch>>,
    /// Records up to this position were read.
    position: Position,
    /// Records up to this position are read from the log.
    alone_until: Position,
    /// The batch that follows them.
    received: Option<Arc<Batch>>,
}

impl OrganizationFollower {
    pub(crate) fn new(
        feeds: Arc<Feeds>,
        shard: Shard,
        organization: &OrganizationId,
        after: Position,
    ) -> OrganizationFollower {
        let (feed, batches, from) = feeds.join(shard, organization);
        OrganizationFollower {
            feeds,
            shard,
            organization: organization.clone(),
            feed,
            batches,
            position: after,
            alone_until: from,
            received: None,
        }
    }

    /// The organization's next records; waits until there are some. Cancel safe.
    pub async fn next(&mut self) -> Result<OrganizationRecords, StoreError> {
        loop {
            if self.position < self.alone_until {
                if let Some(own) = self.read_alone().await? {
                    return Ok(own);
                }
                continue;
            }
            if let Some(batch) = self.received.take() {
                if let Some(own) = self.unread_of(&batch) {
                    return Ok(own);
                }
                continue;
            }
            match self.batches.recv().await {
                Ok(batch) => {
                    // Batches between the last one and this one were missed.
                    self.alone_until = self.alone_until.max(batch.after);
                    self.received = Some(batch);
                }
                // The next batch says where it begins, and so what was missed.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => self.join_again(),
            }
        }
    }

    /// Reads a part of what the feed did not hand out from the log.
    async fn read_alone(&mut self) -> Result<Option<OrganizationRecords>, StoreError> {
        let after = self.position;
        let records = {
            let _place = self.feeds.long_reads.catch_up(&self.organization).await;
            self.feeds.shards.read(self.shard, after, FEED_RECORDS).await?
        };
        let records: Vec<_> =
            records.into_iter().filter(|record| record.position <= self.alone_until).collect();
        // Positions have no gap: if no record is there, none ever was.
        self.position = records.last().map_or(self.alone_until, |record| record.position);
        let is_own = |record: &Arc<Record>| record.organization_id == self.organization;
        let records: Vec<_> = records.into_iter().filter(is_own).collect();
        Ok((!records.is_empty()).then_some(OrganizationRecords { after, records }))
    }

    fn unread_of(&mut self, batch: &Batch) -> Option<OrganizationRecords> {
        let after = self.position;
        let unread = batch.records.iter().filter(|record| record.position > after);
        let records: Vec<_> = unread.cloned().collect();
        self.position = after.max(batch.last());
        (!records.is_empty()).then_some(OrganizationRecords { after, records })
    }

    fn join_again(&mut self) {
        let (feed, batches, from) = self.feeds.join(self.shard, &self.organization);
        (self.feed, self.batches) = (feed, batches);
        self.alone_until = self.alone_until.max(from);
    }
}

impl Feeds {
    pub(crate) fn new(shards: Arc<Shards>, long_reads: Arc<LongReads>) -> Feeds {
        Feeds { shards, long_reads, by_shard: Mutex::default() }
    }

    /// A shard's feed, an organization's channel, and the position after which its batches begin.
    fn join(
        &self,
        shard: Shard,
        organization: &OrganizationId,
    ) -> (Arc<Feed>, broadcast::Receiver<Arc<Batch>>, Position) {
        let mut feeds = self.by_shard.lock().unwrap_or_else(PoisonError::into_inner);
        let existing = feeds.get(&shard).and_then(Weak::upgrade);
        if let Some(feed) = existing
            && let Some((batches, from)) = feed.shared.join(organization)
        {
            return (feed, batches, from);
        }
        let last_position = *self.shards.watch(shard).borrow();
        let follower = Follower::new(Arc::clone(&self.shards), shard, last_position);
        let shared = Arc::new(Shared(Mutex::new(State::at(follower.position()))));
        let (batches, from) = shared.state().join(organization);
        let reader = tokio::spawn(read(follower, Arc::clone(&shared)));
        let feed = Arc::new(Feed { shared, _reader: AbortOnDropHandle::new(reader) });
        feeds.insert(shard, Arc::downgrade(&feed));
        (feed, batches, from)
    }
}

/// Reads a shard's log as it grows, and hands out its records.
async fn read(mut follower: Follower, shared: Arc<Shared>) {
    loop {
        match follower.next(FEED_RECORDS).await {
            Ok(records) => shared.state().hand_out(&records),
            Err(error) => {
                // Followers go on by themselves, and learn of the error when they read.
                tracing::debug!(%error, "cannot read the log along");
                return shared.state().end();
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(
        &self,
        organization: &OrganizationId,
    ) -> Option<(broadcast::Receiver<Arc<Batch>>, Position)> {
        let mut state = self.state();
        (!state.has_ended).then(|| state.join(organization))
    }
}

impl State {
    fn at(position: Position) -> State {
        State { position, organizations: HashMap::new(), has_ended: false }
    }

    fn join(
        &mut self,
        organization: &OrganizationId,
    ) -> (broadcast::Receiver<Arc<Batch>>, Position) {
        let position = self.position;
        let channel = self.organizations.entry(organization.clone()).or_insert_with(|| Channel {
            sender: broadcast::Sender::new(FEED_BATCHES),
            sent: position,
        });
        (channel.sender.subscribe(), position)
    }

    fn hand_out(&mut self, records: &[Arc<Record>]) {
        self.organizations.retain(|_, channel| channel.sender.receiver_count() > 0);
        let mut own: HashMap<&OrganizationId, Vec<Arc<Record>>> = HashMap::new();
        for record in records {
            if self.organizations.contains_key(&record.organization_id) {
                own.entry(&record.organization_id).or_default().push(Arc::clone(record));
            }
        }
        for (organization, records) in own {
            if let Some(channel) = self.organizations.get_mut(organization) {
                let batch = Batch { after: channel.sent, records };
                channel.sent = batch.last();
                // An error: the last follower has just gone.
                _ = channel.sender.send(Arc::new(batch));
            }
        }
        self.position = records.last().map_or(self.position, |record| record.position);
    }

    fn end(&mut self) {
        self.has_ended = true;
        self.organizations.clear();
    }
}
