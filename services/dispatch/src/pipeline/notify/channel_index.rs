//! The state from which notifications are decided: the channels as of a position of the log, their
//! open incidents, and their recent notifications of exhausted deliveries. Pure.

use std::collections::{BTreeMap, HashMap};

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId, NotificationId, OrganizationId};
use keeptrusts_webhooks_domain::incident::{Incident, IncidentAction};
use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_domain::notification::{
    GROUPING_WINDOW, NewNotification, Notification, NotificationFact, NotificationType,
};
use keeptrusts_webhooks_store::LogDamage;
use keeptrusts_webhooks_store::log::projection::{Fold, LoadedRows};
use keeptrusts_webhooks_store::{EndpointIncident, ExhaustionNotification, Record};

use super::cause::NotificationCause;
use super::decisions::Decision;

#[derive(Default)]
pub(crate) struct ChannelIndex {
    pub(super) channels: HashMap<OrganizationId, BTreeMap<ChannelId, Channel>>,
    pub(super) groups: BTreeMap<(ChannelId, EndpointId), ExhaustionGroup>,
    /// The incidents that services may have open.
    pub(super) incidents: BTreeMap<(ChannelId, EndpointId), Incident>,
    /// At this number of groups, those that no longer matter are dropped.
    forget_at: usize,
    /// The channels are at least as new as the record there.
    read_until: Position,
    /// By organization: causes up to this position have been decided, because they are decided in
    /// order and recorded together.
    decided_until: HashMap<OrganizationId, Position>,
}

/// Exhausted deliveries of an endpoint, as one channel is notified of them: one message an hour.
#[derive(Debug, Default)]
pub(super) struct ExhaustionGroup {
    /// The notification that waits or is under way.
    pub(super) open: Option<OpenNotification>,
    pub(super) last_sent: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct OpenNotification {
    pub(super) notification_id: NotificationId,
    /// How many deliveries its records count.
    count: u32,
    /// The last record that they count.
    cause: Position,
    /// When the first delivery was counted that the message under way may not contain.
    newer_since: Option<Timestamp>,
}

/// Below this number of groups, none is dropped.
const MIN_GROUPS_TO_FORGET: usize = 1_024;

impl ChannelIndex {
    /// Takes over the tables as the last owner left them.
    pub(crate) fn restore(
        &mut self,
        told: Vec<ExhaustionNotification>,
        causes: Vec<(OrganizationId, Position)>,
        incidents: Vec<EndpointIncident>,
    ) {
        for EndpointIncident { channel_id, endpoint_id, incident, .. } in incidents {
            self.incidents.insert((channel_id, endpoint_id), incident);
        }
        for told in told {
            let incident = self.incidents.get(&(told.channel_id, told.endpoint_id));
            let is_over = !incident.is_some_and(|known| known.may_be_opened_by(told.cause));
            if told.opens_incident && is_over {
                continue;
            }
            let group = self.groups.entry((told.channel_id, told.endpoint_id)).or_default();
            group.last_sent = group.last_sent.max(told.sent_time);
            if told.is_waiting {
                group.open = Some(OpenNotification {
                    notification_id: told.notification_id,
                    count: told.count,
                    cause: told.cause,
                    newer_since: None,
                });
            }
        }
        self.decided_until.extend(causes);
    }

    /// Replaces what is known of a channel.
    pub(crate) fn put(&mut self, channel: Channel) {
        let channels = self.channels.entry(channel.organization_id.clone()).or_default();
        match channel.delete_time {
            None => _ = channels.insert(channel.id, channel),
            Some(_) => _ = channels.remove(&channel.id),
        }
    }

    /// Removes a channel that did not exist yet.
    pub(crate) fn remove(&mut self, organization: &OrganizationId, id: ChannelId) {
        if let Some(channels) = self.channels.get_mut(organization) {
            channels.remove(&id);
        }
    }

    /// Applies one more record about a channel.
    pub(crate) fn apply(&mut self, id: ChannelId, record: &Record) -> Result<(), LogDamage> {
        let mut loaded = LoadedRows::default();
        let known = self.channels.get(&record.organization_id).and_then(|known| known.get(&id));
        loaded.channels.extend(known.map(|known| (id, known.clone())));
        let mut fold = Fold::new(loaded);
        fold.apply(record)?;
        fold.into_changes().channels.into_values().for_each(|channel| self.put(channel));
        Ok(())
    }

    pub(crate) fn channel(&self, organization: &OrganizationId, id: ChannelId) -> Option<&Channel> {
        self.channels.get(organization)?.get(&id)
    }

    /// The incident of an endpoint at a channel's service, if the service may have it open.
    pub(crate) fn incident(&self, channel: ChannelId, endpoint: EndpointId) -> Option<&Incident> {
        self.incidents.get(&(channel, endpoint))
    }

    /// How many channels an organization has.
    pub(crate) fn channels_of(&self, organization: &OrganizationId) -> usize {
        self.channels.get(organization).map_or(0, BTreeMap::len)
    }

    /// The log was read up to `position`.
    pub(crate) fn has_read(&mut self, position: Position) {
        self.read_until = self.read_until.max(position);
    }

    /// Whether the channels are at least as new as the record at `position`.
    pub(crate) fn has_read_to(&self, position: Position) -> bool {
        self.read_until >= position
    }

    /// Whether it was decided before, by this owner or an earlier one.
    pub(crate) fn is_decided(&self, cause: &NotificationCause) -> bool {
        self.is_decided_until(&cause.organization_id, cause.position)
    }

    pub(super) fn is_decided_until(
        &self,
        organization: &OrganizationId,
        position: Position,
    ) -> bool {
        self.decided_until.get(organization).is_some_and(|until| position <= *until)
    }

    /// `decisions` are recorded, from causes up to and including `until`.
    pub(crate) fn recorded(
        &mut self,
        organization: &OrganizationId,
        decisions: &[Decision],
        until: Position,
        now: Timestamp,
    ) {
        self.decided_until.insert(organization.clone(), until);
        for decision in decisions {
            let key = (decision.channel_id, decision.endpoint_id);
            match &decision.fact {
                NotificationFact::Raised(new)
                    if matches!(
                        new.incident,
                        Some(IncidentAction::Close | IncidentAction::CloseAt(_))
                    ) =>
                {
                    if let Some(incident) = self.incidents.get_mut(&key) {
                        incident.merge(Incident::closing(until));
                    }
                    // Whatever comes next is another incident, and is sent at once.
                    self.groups.remove(&key);
                }
                NotificationFact::Raised(new)
                    if new.notification_type == NotificationType::DeliveryExhausted =>
                {
                    let notification_id = decision.notification_id;
                    let (count, cause) = (new.count, until);
                    self.groups.entry(key).or_default().open =
                        Some(OpenNotification { notification_id, count, cause, newer_since: None });
                }
                NotificationFact::Counted { count, .. } => {
                    let group = self.groups.get_mut(&key);
                    if let Some(open) = group.and_then(|group| group.open.as_mut()) {
                        open.count = open.count.saturating_add(*count);
                        open.cause = until;
                        open.newer_since.get_or_insert(now);
                    }
                }
                _ => {}
            }
            if decision.opens_incident {
                self.incidents.entry(key).or_default().merge(Incident::opened(until));
            }
        }
        self.forget_old_groups(now);
    }

    /// The channel's notifications were read, to be sent. Deliveries that are counted from now on
    /// may not be in the message.
    pub(crate) fn note_read(&mut self, channel: ChannelId) {
        let of_channel = (channel, EndpointId::MIN)..=(channel, EndpointId::MAX);
        let groups = self.groups.range_mut(of_channel);
        for open in groups.filter_map(|(_, group)| group.open.as_mut()) {
            open.newer_since = None;
        }
    }

    /// The notification that is due an hour later, of deliveries that were counted after the
    /// message was written. It is recorded together with the message's sending at `sent`.
    pub(crate) fn remainder(
        &self,
        notification: &Notification,
        sent: Timestamp,
    ) -> Option<(NewNotification, Position)> {
        let (key, open) = self.open_of(notification)?;
        let count = open.count.checked_sub(notification.new.count).filter(|count| *count > 0)?;
        let new = NewNotification {
            channel_id: key.0,
            endpoint_id: Some(key.1),
            count,
            since: open.newer_since.unwrap_or(sent),
            due_time: sent.checked_add(GROUPING_WINDOW).unwrap_or(sent),
            ..notification.new.clone()
        };
        Some((new, open.cause))
    }

    /// A notification was sent; `remainder` was recorded with it.
    pub(crate) fn sent(
        &mut self,
        notification: &Notification,
        sent: Timestamp,
        remainder: Option<(NotificationId, u32)>,
    ) {
        if let (Some(IncidentAction::Close), Some(endpoint)) =
            (&notification.new.incident, notification.new.endpoint_id)
        {
            let key = (notification.new.channel_id, endpoint);
            if let Some(incident) = self.incidents.get_mut(&key) {
                incident.merge(Incident::closed(notification.cause));
                if !incident.is_open() {
                    self.incidents.remove(&key);
                }
            }
        }
        let Some((key, open)) = self.open_of(notification) else { return };
        let cause = open.cause;
        let group = self.groups.entry(key).or_default();
        group.last_sent = Some(sent);
        group.open = remainder.map(|(notification_id, count)| OpenNotification {
            notification_id,
            count,
            cause,
            newer_since: None,
        });
    }

    /// A notification was given up or withdrawn.
    pub(crate) fn note_given_up(&mut self, notification: &Notification) {
        let Some((key, _)) = self.open_of(notification) else { return };
        self.groups.entry(key).or_default().open = None;
    }

    /// By organization, the channels that get a summary of the week that ended at `week_end`.
    pub(crate) fn summary_channels(
        &self,
        week_end: Timestamp,
    ) -> Vec<(OrganizationId, Vec<ChannelId>)> {
        let hears = |channel: &&Channel| {
            channel.subscribes_to(NotificationType::WeeklySummary, None)
                && channel.create_time < week_end
        };
        let channels = self.channels.iter().map(|(organization, channels)| {
            let ids = channels.values().filter(hears).map(|channel| channel.id);
            (organization.clone(), ids.collect::<Vec<_>>())
        });
        channels.filter(|(_, ids)| !ids.is_empty()).collect()
    }

    fn open_of(
        &self,
        notification: &Notification,
    ) -> Option<((ChannelId, EndpointId), &OpenNotification)> {
        let new = &notification.new;
        if new.notification_type != NotificationType::DeliveryExhausted {
            return None;
        }
        let key = (new.channel_id, new.endpoint_id?);
        let open = self.groups.get(&key)?.open.as_ref()?;
        (open.notification_id == notification.id).then_some((key, open))
    }

    fn forget_old_groups(&mut self, now: Timestamp) {
        if self.groups.len() < self.forget_at.max(MIN_GROUPS_TO_FORGET) {
            return;
        }
        let matters = |group: &ExhaustionGroup| {
            let ends = group.last_sent.and_then(|sent| sent.checked_add(GROUPING_WINDOW).ok());
            group.open.is_some() || ends.is_some_and(|end| end > now)
        };
        self.groups.retain(|_, group| matters(group));
        self.forget_at = 2 * self.groups.len();
    }
}

#[cfg(test)]
#[path = "channel_index_tests.rs"]
mod tests;
