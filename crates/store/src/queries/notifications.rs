//! Queries of notifications, and of the incidents that they open.

use std::collections::BTreeMap;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId, NotificationId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard};
use keeptrusts_webhooks_domain::mail_limits::MailAttempts;
use keeptrusts_webhooks_domain::notification::{Notification, NotificationState, NotificationType};

use super::filters::NotificationFilter;
use super::interval::Interval;
use super::list_page::ListPage;
use super::selection::{Comparison, Extreme, Fixed, Selection};
use super::walk::{self, List};
use crate::error::StoreError;
use crate::log::rows::EndpointIncident;
use crate::store::Store;
use crate::tables::{Cell, parse, time};

impl dyn Store + '_ {
    pub async fn notification(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: NotificationId,
    ) -> Result<Option<Notification>, StoreError> {
        self.row(shard, (organization.clone(), id)).await
    }

    /// Notifications, newest first, with ids below `before`. As with [events](Self::list_events), a
    /// limited number is examined: of the channel only, if the filter names one.
    pub async fn list_notifications(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &NotificationFilter,
        before: NotificationId,
        limit: usize,
    ) -> Result<ListPage<Notification, NotificationId>, StoreError> {
        let list = List {
            interval: Interval::default(),
            before: before.ulid(),
            examined_rows: filter.examined_rows(limit),
            limit,
            id: "notification_id",
            id_of: |row: &Notification| row.id,
            make_id: NotificationId::new,
        };
        walk::list(
            self,
            shard,
            organization,
            list,
            |before, _| walk(organization, filter.channel_ids.only().copied(), before),
            |before, least| listed(organization, filter, (before, least)),
        )
        .await
    }

    /// Notifications that wait to be sent to a channel, the earliest first.
    pub async fn waiting_notifications(
        &self,
        shard: Shard,
        channel: ChannelId,
        limit: usize,
    ) -> Result<Vec<Notification>, StoreError> {
        let rows = waiting()
            .equal("channel_id", channel)
            .ascending(&["due_time", "notification_id"])
            .limit(limit);
        self.selected(shard, rows).await
    }

    /// Every channel with waiting notifications, and when the first of them is due.
    pub async fn waiting_channels(
        &self,
        shard: Shard,
    ) -> Result<Vec<(ChannelId, Timestamp)>, StoreError> {
        let earliest = Extreme::Least("due_time");
        let groups = self.grouped(shard, waiting().erased(), "channel_id", earliest).await?;
        let channels =
            groups.into_iter().map(|(id, due_time)| Ok((parse("channel", &id)?, time(due_time)?)));
        channels.collect()
    }

    /// The notifications of exhausted deliveries that wait, or that ended at `since` or later. Further
    /// exhausted deliveries are grouped with them.
    pub async fn exhaustion_notifications(
        &self,
        shard: Shard,
        since: Timestamp,
    ) -> Result<Vec<ExhaustionNotification>, StoreError> {
        let exhausted = Fixed::Word(NotificationType::DeliveryExhausted.name());
        let waiting = waiting().fixed("type", Comparison::Equal, exhausted);
        let ended = Selection::new()
            .by_index("notifications_told")
            .fixed("type", Comparison::Equal, exhausted)
            .at_least("end_time", since);
        // A notification that ends between the two statements is found twice.
        let mut by_id = BTreeMap::new();
        for selection in [waiting, ended] {
            let rows: Vec<Notification> = self.selected(shard, selection).await?;
            by_id.extend(rows.into_iter().map(|row| (row.id, row)));
        }
        Ok(by_id.into_values().filter_map(ExhaustionNotification::of).collect())
    }

    /// For each organization with a notification about a record after `after`, the last such record.
    pub async fn last_causes(
        &self,
        shard: Shard,
        after: Position,
    ) -> Result<Vec<(OrganizationId, Position)>, StoreError> {
        let rows = Selection::<Notification>::new()
            .by_index("notifications_cause")
            .fixed("cause", Comparison::Greater, Fixed::Number(0))
            .greater("cause", after);
        let last = Extreme::Greatest("cause");
        let groups = self.grouped(shard, rows.erased(), "organization_id", last).await?;
        let causes = groups
            .into_iter()
            .map(|(owner, cause)| Ok((parse("organization", &owner)?, Position(cause))));
        causes.collect()
    }

    /// The incidents that services may have open, in no order.
    pub async fn open_incidents(&self, shard: Shard) -> Result<Vec<EndpointIncident>, StoreError> {
        let open = Selection::new().by_index("incidents_open").exceeding("opened", "closed");
        self.selected(shard, open).await
    }

    /// The mails that were sent for an organization at `since` or later, delivered or not, in no order.
    pub async fn mail_sent(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        since: Timestamp,
    ) -> Result<Vec<MailAttempts>, StoreError> {
        let rows = Selection::new()
            .by_index("notifications_mail")
            .fixed("attempt_recipients", Comparison::Greater, Fixed::Number(0))
            .equal("organization_id", organization)
            .at_least("attempt_start_time", since);
        let rows: Vec<Notification> = self.selected(shard, rows).await?;
        let sent =
            rows.into_iter().filter_map(|row| row.last_attempt).map(|attempt| MailAttempts {
                time: attempt.start_time,
                messages: attempt.number,
                recipients: attempt.recipients,
            });
        Ok(sent.collect())
    }
}

/// The ids of a channel's notifications below `before`, or of all of an organization's.
fn walk(
    organization: &OrganizationId,
    channel: Option<ChannelId>,
    before: NotificationId,
) -> Selection<Notification> {
    let rows = Selection::new().columns(&["organization_id", "notification_id"]);
    let rows = match channel {
        Some(channel) => rows.by_index("notifications_channel").equal("channel_id", channel),
        None => rows.equal("organization_id", organization),
    };
    rows.less("notification_id", before).descending(&["notification_id"])
}

fn listed(
    organization: &OrganizationId,
    filter: &NotificationFilter,
    (before, least): (NotificationId, Option<NotificationId>),
) -> Selection<Notification> {
    let NotificationFilter { channel_ids, states } = filter;
    let rows = match channel_ids.only() {
        Some(_) => Selection::new().by_index("notifications_channel"),
        None => Selection::new(),
    };
    rows.equal("organization_id", organization)
        .less("notification_id", before)
        .at_least_if("notification_id", least)
        .one_of("channel_id", channel_ids.iter().map(Cell::shown))
        .one_of("state", states.iter().map(|state| state.name().into()))
        .descending(&["notification_id"])
}

fn waiting() -> Selection<Notification> {
    Selection::new().by_index("notifications_due").not_null("due_time")
}

/// A notification, sent or to be sent, of exhausted deliveries of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExhaustionNotification {
    pub notification_id: NotificationId,
    pub channel_id: ChannelId,
    pub endpoint_id: EndpointId,
    /// When it was sent. None: it waits, or was given up.
    pub sent_time: Option<Timestamp>,
    pub is_waiting: bool,
    /// How many deliveries it is about.
    pub count: u32,
    /// The last record that it is about.
    pub cause: Position,
    pub opens_incident: bool,
}

impl ExhaustionNotification {
    /// None: the notification is about no endpoint.
    fn of(row: Notification) -> Option<ExhaustionNotification> {
        Some(ExhaustionNotification {
            notification_id: row.id,
            channel_id: row.new.channel_id,
            endpoint_id: row.new.endpoint_id?,
            sent_time: row.end_time.filter(|_| row.state == NotificationState::Sent),
            is_waiting: row.state == NotificationState::Waiting,
            count: row.new.count,
            cause: row.cause,
            opens_incident: row.new.incident.is_some(),
        })
    }
}
