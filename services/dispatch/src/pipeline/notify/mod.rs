//! Notify: tells channels of what has happened to their organization's endpoints.
//!
//! One task has the last word in a shard: it decides what is raised ([`decisions`]) from what it
//! knows ([`desk`]), whose turn it is ([`turns`]), whether what has waited is still sent
//! ([`judge`]), and records what came of it. Since nobody else writes about the shard's
//! notifications, counting what was exhausted and sending what was counted cannot come between
//! each other. Routing waits until what follows from a happening is committed before it moves the
//! checkpoint past it; and what has been told of is known by the position of its cause, so that
//! the next owner, who reads the same records again, raises nothing twice.
//!
//! Decision: docs/decisions/one-writer-of-notifications.md

mod courier;
mod decisions;
mod desk;
mod happening;
mod judge;
mod record;
mod summary;
mod turns;
mod verdict;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::ids::{ChannelId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Stream};
use keeptrusts_webhooks_domain::mail_limits::MailUsage;
use keeptrusts_webhooks_domain::notification::GROUPING;
use keeptrusts_webhooks_store::{Record, StoreError};
use tokio::sync::{mpsc, oneshot};

use super::failures::{Append, Ended, OnDefect, Streams};
use super::rewind::rewind;
use super::{STAGE_CAPACITY, Shard};
use courier::Turn;
use desk::Desk;
use turns::{Turns, plausible_due_time};

pub(crate) use happening::Happening;

/// As many notifications as may be under way at once in a shard: one for each channel at most.
const AT_ONCE: usize = 16;
const CHANNELS_PER_PAGE: usize = 500;

/// What is recorded of notifications. Routing waits for it.
const NOTIFICATIONS: Append = Append {
    what: "cannot record a notification",
    streams: Streams::Owned,
    on_defect: OnDefect::GiveUp,
};

/// What the stage hears.
pub(crate) enum ToNotify {
    /// Channels may hear of these. Answered when what follows is committed.
    Happened(Vec<Happening>, oneshot::Sender<()>),
    /// Something was recorded of a channel. Answered when what follows is committed.
    Channel(ChannelId, Arc<Record>, oneshot::Sender<()>),
    /// Somebody has asked for a test.
    Asked(ChannelId),
}

/// The stage's state.
pub(crate) struct Notify {
    shard: Arc<Shard>,
    desk: Desk,
    turns: Turns,
    /// What was sent by mail in the last 24 hours, by organization: what the tables say, and what
    /// is under way.
    mail: HashMap<OrganizationId, MailUsage>,
    /// When the next week ends that is summarized.
    next_week: Timestamp,
    /// The end of a week that is to be summarized at once.
    week_to_summarize: Option<Timestamp>,
}

/// The shard's channels as they stand. Read before what has changed is looked for, so that a change
/// that comes between is found, and taken back, and not missed.
pub(crate) async fn channels(shard: &Shard) -> Result<Vec<Channel>, StoreError> {
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

/// Brings the stage to where the last owner stopped: channels that changed behind the checkpoint
/// are set back to how they stood there, and change again as the log is read.
pub(crate) async fn prepare(
    shard: &Arc<Shard>,
    checkpoint: Position,
    channels: Vec<Channel>,
    changed: &HashSet<(OrganizationId, ChannelId)>,
) -> Result<Notify, StoreError> {
    let (store, number) = (shard.log.store(), shard.lease.shard());
    let now = shard.steady.wall();
    let mut desk = Desk::default();
    channels.into_iter().for_each(|channel| desk.put(channel));
    for (organization, id) in changed {
        match rewind(shard, Stream::Channel(*id), checkpoint).await?.channel(*id) {
            Some(channel) => desk.put(channel.clone()),
            None => desk.remove(organization, *id),
        }
    }
    let since = now.checked_sub(GROUPING).unwrap_or(Timestamp::MIN);
    let told = store.told_of_exhausted(number, since).await?;
    let causes = store.last_causes(number, checkpoint).await?;
    desk.has_read(checkpoint);
    desk.restore(told, causes, store.open_incidents(number).await?);
    let mut turns = Turns::new(AT_ONCE);
    for (channel, due_time) in store.waiting_channels(number).await? {
        turns.note(channel, plausible_due_time(due_time, now));
    }
    let (next_week, week_to_summarize) = summary::weeks(now);
    let mail = HashMap::new();
    Ok(Notify { shard: Arc::clone(shard), desk, turns, mail, next_week, week_to_summarize })
}

impl Notify {
    /// Works until routing has ended and what is under way is over.
    pub(crate) async fn run(mut self, mut messages: mpsc::Receiver<ToNotify>) {
        let (to_record, mut ended) = mpsc::channel(STAGE_CAPACITY);
        let stop = self.shard.stop.clone();
        let mut is_open = true;
        while is_open || self.turns.under_way() > 0 {
            let mut alarm = None;
            if !stop.is_cancelled() && is_open {
                self.begin_turns(&to_record);
                let next = self.turns.alarm().into_iter().chain([self.next_week]).min();
                alarm = next.map(|time| self.until(time));
                if self.week_to_summarize.is_some() {
                    alarm = Some(Duration::ZERO);
                }
            }
            let done = tokio::select! {
                biased;
                Some(turn) = ended.recv() => self.conclude(turn, &to_record).await,
                message = messages.recv(), if is_open => match message {
                    Some(message) => self.hear(message).await,
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

    fn begin_turns(&mut self, to_record: &mpsc::Sender<Turn>) {
        let now = self.now();
        while let Some(channel) = self.turns.take(now) {
            self.desk.begins(channel);
            courier::begin(&self.shard, channel, to_record.clone());
        }
    }

    fn until(&self, time: Timestamp) -> Duration {
        let wait = time.duration_since(self.now());
        Duration::try_from(wait).unwrap_or(Duration::ZERO)
    }

    async fn hear(&mut self, message: ToNotify) -> Result<(), Ended> {
        match message {
            ToNotify::Happened(happenings, told) => {
                let until = happenings.last().map(|happening| happening.position);
                self.raise(happenings).await?;
                until.into_iter().for_each(|position| self.desk.has_read(position));
                // Whoever waited may have gone.
                _ = told.send(());
            }
            ToNotify::Channel(id, record, told) => {
                self.close_what_is_left_behind(id, &record).await?;
                if let Err(error) = self.desk.apply(id, &record) {
                    self.shard.give_up("the log contradicts itself", &error);
                    return Err(Ended);
                }
                self.desk.has_read(record.position);
                _ = told.send(());
            }
            // Whoever asks may have another clock.
            ToNotify::Asked(channel) => self.turns.note(channel, Timestamp::MIN),
        }
        Ok(())
    }

    /// Raises what follows from happenings, organization by organization.
    async fn raise(&mut self, happenings: Vec<Happening>) -> Result<(), Ended> {
        let fresh: Vec<_> =
            happenings.into_iter().filter(|happening| !self.desk.knows_of(happening)).collect();
        let organizations: BTreeSet<_> =
            fresh.iter().map(|happening| happening.organization_id.clone()).collect();
        for organization in organizations {
            let channels = self.desk.channels_of(&organization);
            if channels == 0 {
                continue;
            }
            let of_organization: Vec<_> = fresh
                .iter()
                .filter(|happening| happening.organization_id == organization)
                .cloned()
                .collect();
            // What ends trouble has an operation of its own: an incident tells by the positions of
            // operations' causes what came first.
            for part in
                of_organization.chunk_by(|one, next| !one.ends_trouble && !next.ends_trouble)
            {
                // An operation has so many records at most, whatever the number of channels.
                for part in part.chunks((RECORDS_PER_OPERATION / channels).max(1)) {
                    self.raise_part(&organization, part).await?;
                }
            }
        }
        Ok(())
    }
}

const RECORDS_PER_OPERATION: usize = 1_000;
