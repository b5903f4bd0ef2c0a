//! Notify: sends notifications to channels about their organization's endpoints.
//!
//! One task in a shard decides which notifications are raised ([`decisions`]) from its state
//! ([`channel_index`]), which is due next ([`queue`]), and whether one that has waited is still
//! sent ([`send_decision`]), and records the outcomes. Since nobody else writes about the shard's
//! notifications, counting exhausted deliveries and sending their count cannot interfere. Routing
//! moves the checkpoint past a cause only when what follows from it is committed. The position of
//! the last cause is recorded, so that the next owner, who reads the same records again, raises
//! nothing twice.
//!
//! Decision: docs/decisions/one-writer-of-notifications.md

mod cause;
mod channel_index;
mod decisions;
mod queue;
mod record;
mod relevance;
mod send_decision;
mod sending;
mod stage;
mod summary;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::ids::{ChannelId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Stream};
use keeptrusts_webhooks_domain::notification::GROUPING_WINDOW;
use keeptrusts_webhooks_store::{Record, StoreError};
use tokio::sync::{mpsc, oneshot};

use super::failures::StageEnded;
use super::limits::STAGE_CAPACITY;
use super::owned_shard::OwnedShard;
use super::rewind::rewind;
use channel_index::ChannelIndex;
use queue::{NotificationQueue, plausible_due_time};
use sending::SendProgress;

pub(crate) use cause::NotificationCause;
pub(crate) use stage::Notify;

/// Notifications that may be under way at once in a shard; each channel has at most one.
const MAX_CONCURRENT_SENDS: usize = 16;
const CHANNELS_PER_PAGE: usize = 500;

pub(crate) enum NotifyMessage {
    /// Channels may be notified of these. Answered when what follows is committed.
    Causes(Vec<NotificationCause>, oneshot::Sender<()>),
    /// A record about a channel. Answered when what follows is committed.
    Channel(ChannelId, Arc<Record>, oneshot::Sender<()>),
    TestRequested(ChannelId),
}

/// The shard's channels as they are now. This must be read before the changes since the checkpoint,
/// so that a change in between is found there and undone.
pub(crate) async fn channels(shard: &OwnedShard) -> Result<Vec<Channel>, StoreError> {
    let (store, number) = (shard.log.store(), shard.lease.shard());
    let mut channels = Vec::new();
    let mut after = ChannelId::MIN;
    loop {
        let page = store.shard_channels(number, after, CHANNELS_PER_PAGE).await?;
        let Some(last) = page.last() else { return Ok(channels) };
        after = last.id;
        channels.extend(page);
    }
}

/// Restores the stage's state. Channels that changed after the checkpoint are set back to their
/// state there, and change again as the log is read.
pub(crate) async fn prepare(
    shard: &Arc<OwnedShard>,
    checkpoint: Position,
    channels: Vec<Channel>,
    changed: &HashSet<(OrganizationId, ChannelId)>,
) -> Result<Notify, StoreError> {
    let (store, number) = (shard.log.store(), shard.lease.shard());
    let now = shard.steady_clock.wall();
    let mut channel_index = ChannelIndex::default();
    channels.into_iter().for_each(|channel| channel_index.put(channel));
    for (organization, id) in changed {
        match rewind(shard, Stream::Channel(*id), checkpoint).await?.channel(*id) {
            Some(channel) => channel_index.put(channel.clone()),
            None => channel_index.remove(organization, *id),
        }
    }
    let since = now.checked_sub(GROUPING_WINDOW).unwrap_or(Timestamp::MIN);
    let notifications = store.exhaustion_notifications(number, since).await?;
    let causes = store.last_causes(number, checkpoint).await?;
    channel_index.has_read(checkpoint);
    channel_index.restore(notifications, causes, store.open_incidents(number).await?);
    let mut queue = NotificationQueue::new(MAX_CONCURRENT_SENDS);
    for (channel, due_time) in store.waiting_channels(number).await? {
        queue.schedule(channel, plausible_due_time(due_time, now));
    }
    let (next_week, week_to_summarize) = summary::weeks(now);
    let mail = HashMap::new();
    Ok(Notify {
        shard: Arc::clone(shard),
        channel_index,
        queue,
        mail,
        next_week,
        week_to_summarize,
    })
}

impl Notify {
    /// Works until routing has ended and nothing is under way.
    pub(crate) async fn run(mut self, mut messages: mpsc::Receiver<NotifyMessage>) {
        let (to_record, mut ended) = mpsc::channel(STAGE_CAPACITY);
        let stop = self.shard.stop.clone();
        let mut is_open = true;
        while is_open || self.queue.under_way() > 0 {
            let mut alarm = None;
            if !stop.is_cancelled() && is_open {
                self.begin_turns(&to_record);
                let next = self.queue.alarm().into_iter().chain([self.next_week]).min();
                alarm = next.map(|time| self.until(time));
                if self.week_to_summarize.is_some() {
                    alarm = Some(Duration::ZERO);
                }
            }
            let done = tokio::select! {
                biased;
                Some(progress) = ended.recv() => self.conclude(progress, &to_record).await,
                message = messages.recv(), if is_open => match message {
                    Some(message) => self.handle(message).await,
                    None => {
                        is_open = false;
                        Ok(())
                    }
                },
                () = super::schedule::sleep_for(alarm) => self.summarize_if_due().await,
            };
            if done.is_err() {
                return;
            }
        }
    }

    fn begin_turns(&mut self, to_record: &mpsc::Sender<SendProgress>) {
        let now = self.now();
        while let Some(channel) = self.queue.take(now) {
            self.channel_index.note_read(channel);
            sending::spawn_read(&self.shard, channel, to_record.clone());
        }
    }

    fn until(&self, time: Timestamp) -> Duration {
        let wait = time.duration_since(self.now());
        Duration::try_from(wait).unwrap_or(Duration::ZERO)
    }

    async fn handle(&mut self, message: NotifyMessage) -> Result<(), StageEnded> {
        match message {
            NotifyMessage::Causes(causes, done) => {
                let until = causes.last().map(|cause| cause.position);
                self.raise(causes).await?;
                until.into_iter().for_each(|position| self.channel_index.has_read(position));
                // The receiver may be gone.
                _ = done.send(());
            }
            NotifyMessage::Channel(id, record, done) => {
                self.close_incidents_of_old_destination(id, &record).await?;
                if let Err(error) = self.channel_index.apply(id, &record) {
                    self.shard.give_up("the log contradicts itself", &error);
                    return Err(StageEnded);
                }
                self.channel_index.has_read(record.position);
                _ = done.send(());
            }
            // The caller's clock may differ from ours.
            NotifyMessage::TestRequested(channel) => self.queue.schedule(channel, Timestamp::MIN),
        }
        Ok(())
    }

    /// Raises the notifications that follow from causes, organization by organization.
    async fn raise(&mut self, causes: Vec<NotificationCause>) -> Result<(), StageEnded> {
        let fresh: Vec<_> =
            causes.into_iter().filter(|cause| !self.channel_index.is_decided(cause)).collect();
        let organizations: BTreeSet<_> =
            fresh.iter().map(|cause| cause.organization_id.clone()).collect();
        for organization in organizations {
            let channels = self.channel_index.channels_of(&organization);
            if channels == 0 {
                continue;
            }
            let of_organization: Vec<_> = fresh
                .iter()
                .filter(|cause| cause.organization_id == organization)
                .cloned()
                .collect();
            // A cause that ends trouble has an operation of its own: an incident orders its events
            // by the positions of operations' causes.
            for part in
                of_organization.chunk_by(|one, next| !one.ends_trouble && !next.ends_trouble)
            {
                // Limits the records of an operation, whatever the number of channels.
                for part in part.chunks((RECORDS_PER_OPERATION / channels).max(1)) {
                    self.raise_part(&organization, part).await?;
                }
            }
        }
        Ok(())
    }
}

const RECORDS_PER_OPERATION: usize = 1_000;
