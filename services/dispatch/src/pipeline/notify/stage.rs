//! The state of the notify stage.

use std::collections::HashMap;
use std::sync::Arc;

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_domain::mail_limits::MailUsage;
use keeptrusts_webhooks_store::{NewRecord, Operation};

use super::channel_index::ChannelIndex;
use super::queue::NotificationQueue;
use crate::pipeline::failures::{AppendPolicy, OnDefect, Streams};
use crate::pipeline::owned_shard::OwnedShard;

/// For records of notifications, which routing waits for.
pub(super) const NOTIFICATIONS: AppendPolicy = AppendPolicy {
    what: "cannot record a notification",
    streams: Streams::Owned,
    on_defect: OnDefect::GiveUp,
};

pub(crate) struct Notify {
    pub(super) shard: Arc<OwnedShard>,
    pub(super) channel_index: ChannelIndex,
    pub(super) queue: NotificationQueue,
    /// Mail of the last 24 hours, by organization: the tables' rows, and what is under way.
    pub(super) mail: HashMap<OrganizationId, MailUsage>,
    /// When the current week ends.
    pub(super) next_week: Timestamp,
    /// The end of a week that is to be summarized now.
    pub(super) week_to_summarize: Option<Timestamp>,
}

impl Notify {
    pub(super) fn operation(
        &self,
        organization: &OrganizationId,
        records: Vec<NewRecord>,
        correlation_id: String,
        causation: Option<Position>,
    ) -> Operation {
        let metadata = Metadata { correlation_id, causation, ..Metadata::default() };
        self.shard.operation(organization, records, metadata)
    }

    /// The clock that the stage waits by: a wall clock that does not step. Times that people are
    /// shown come from the wall clock.
    pub(super) fn now(&self) -> Timestamp {
        self.shard.steady_clock.wall()
    }
}
