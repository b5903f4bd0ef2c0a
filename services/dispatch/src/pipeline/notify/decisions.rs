//! Decides which notifications follow from a cause: for which channels, of which type, and when.
//! Pure.

use std::collections::{BTreeMap, HashMap};

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::channel::ChannelFact;
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId, NotificationId};
use keeptrusts_webhooks_domain::incident::IncidentAction;
use keeptrusts_webhooks_domain::notification::{
    GROUPING_WINDOW, NewNotification, NotificationFact, NotificationType,
};
use keeptrusts_webhooks_store::Record;

use super::cause::NotificationCause;
use super::channel_index::ChannelIndex;

/// A record about a notification that is to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) notification_id: NotificationId,
    pub(crate) channel_id: ChannelId,
    pub(crate) endpoint_id: EndpointId,
    pub(crate) fact: NotificationFact,
    /// Whether it opens an incident or adds to one.
    pub(crate) opens_incident: bool,
}

impl ChannelIndex {
    /// What follows from a record about a channel, before the record is applied: if the channel has
    /// another destination afterwards, or none, its incidents are closed at the old one.
    pub(crate) fn close_incidents(
        &mut self,
        id: ChannelId,
        record: &Record,
        now: Timestamp,
        mut new_id: impl FnMut() -> NotificationId,
    ) -> Vec<Decision> {
        let reason = match &record.fact {
            Fact::Channel(ChannelFact::Updated { patch, .. }) if patch.destination.is_some() => {
                "the channel leads somewhere else"
            }
            Fact::Channel(ChannelFact::Deleted) => "the channel was deleted",
            _ => return Vec::new(),
        };
        if self.is_decided_until(&record.organization_id, record.position) {
            return Vec::new();
        }
        let Some(channel) = self.channel(&record.organization_id, id) else { return Vec::new() };
        let at = channel.config.destination.clone();
        let of_channel = (id, EndpointId::MIN)..=(id, EndpointId::MAX);
        let known = self.incidents.range(of_channel);
        let open: Vec<_> = known
            .filter(|(_, incident)| incident.may_be_closed_by(record.position))
            .map(|(key, _)| *key)
            .collect();
        let close = |key: (ChannelId, EndpointId)| {
            self.incidents.remove(&key);
            let action = IncidentAction::CloseAt(Box::new(at.clone()));
            let new = NewNotification {
                channel_id: key.0,
                notification_type: NotificationType::IncidentResolved,
                endpoint_id: Some(key.1),
                delivery_id: None,
                count: 1,
                since: record.recorded_at,
                reason: reason.to_owned(),
                due_time: now,
                summary: None,
                incident: Some(action),
            };
            decision(new_id(), key, NotificationFact::Raised(Box::new(new)))
        };
        open.into_iter().map(close).collect()
    }

    /// The records of one operation that follow from an organization's causes, in order, each about
    /// another notification. Exhausted deliveries are counted, not listed. Each cause that ends
    /// trouble is decided in an operation of its own, which has the cause's position.
    ///
    /// `is_stopped_by_hand`: the endpoint was disabled by hand or deleted, so that its last
    /// attempts open no incident.
    pub(crate) fn decide(
        &self,
        causes: &[NotificationCause],
        now: Timestamp,
        is_stopped_by_hand: impl Fn(EndpointId) -> bool,
        mut new_id: impl FnMut() -> NotificationId,
    ) -> Vec<Decision> {
        let mut decisions = Vec::<Decision>::new();
        let mut grouped = HashMap::<(ChannelId, EndpointId), usize>::new();
        for cause in causes {
            let endpoint_id = cause.endpoint_id;
            let channels = self.channels.get(&cause.organization_id);
            for channel in channels.into_iter().flat_map(BTreeMap::values) {
                let key = (channel.id, endpoint_id);
                let kind = cause.notification_type;
                let subscribed_type =
                    kind.filter(|kind| channel.subscribes_to(*kind, Some(endpoint_id)));
                let keeps_incidents = channel.config.destination.kind.keeps_incidents();
                if keeps_incidents && cause.ends_trouble {
                    let known = self.incidents.get(&key);
                    if known.is_some_and(|known| known.may_be_closed_by(cause.position)) {
                        let fact = closing(channel.id, subscribed_type, cause, now);
                        decisions.push(decision(new_id(), key, fact));
                    }
                    continue;
                }
                let Some(notification_type) = subscribed_type else { continue };
                if keeps_incidents && is_stopped_by_hand(endpoint_id) {
                    continue;
                }
                let incident = keeps_incidents.then_some(IncidentAction::Open);
                let raised =
                    |due_time| raised(key.0, notification_type, cause, due_time, incident.clone());
                if notification_type != NotificationType::DeliveryExhausted {
                    let decided = decision(new_id(), key, raised(now));
                    decisions.push(Decision { opens_incident: keeps_incidents, ..decided });
                    continue;
                }
                match grouped.get(&key) {
                    Some(index) => count_one_more(&mut decisions[*index].fact, cause),
                    None => {
                        grouped.insert(key, decisions.len());
                        let decided = self.exhausted(key, cause, now, raised, &mut new_id);
                        decisions.push(Decision { opens_incident: keeps_incidents, ..decided });
                    }
                }
            }
        }
        decisions
    }

    fn exhausted(
        &self,
        key: (ChannelId, EndpointId),
        cause: &NotificationCause,
        now: Timestamp,
        raised: impl Fn(Timestamp) -> NotificationFact,
        new_id: &mut impl FnMut() -> NotificationId,
    ) -> Decision {
        let group = self.groups.get(&key);
        if let Some(open) = group.and_then(|group| group.open.as_ref()) {
            let fact = NotificationFact::Counted { count: 1, delivery_id: cause.delivery_id };
            return decision(open.notification_id, key, fact);
        }
        let last_sent = group.and_then(|group| group.last_sent);
        let earliest = last_sent.and_then(|sent| sent.checked_add(GROUPING_WINDOW).ok());
        let due_time = earliest.map_or(now, |earliest| earliest.max(now));
        decision(new_id(), key, raised(due_time))
    }
}

fn decision(
    notification_id: NotificationId,
    (channel_id, endpoint_id): (ChannelId, EndpointId),
    fact: NotificationFact,
) -> Decision {
    Decision { notification_id, channel_id, endpoint_id, fact, opens_incident: false }
}

fn raised(
    channel_id: ChannelId,
    notification_type: NotificationType,
    cause: &NotificationCause,
    due_time: Timestamp,
    incident: Option<IncidentAction>,
) -> NotificationFact {
    // Subscribers to a recovery do not need its reason.
    let reason = if cause.ends_trouble { String::new() } else { cause.reason.clone() };
    NotificationFact::Raised(Box::new(NewNotification {
        channel_id,
        notification_type,
        endpoint_id: Some(cause.endpoint_id),
        delivery_id: cause.delivery_id,
        count: 1,
        since: cause.time,
        reason,
        due_time,
        summary: None,
        incident,
    }))
}

/// The notification that closes an incident. Its type is the one that the channel subscribes to,
/// otherwise `IncidentResolved`.
fn closing(
    channel_id: ChannelId,
    subscribed_type: Option<NotificationType>,
    cause: &NotificationCause,
    now: Timestamp,
) -> NotificationFact {
    let kind = subscribed_type.unwrap_or(NotificationType::IncidentResolved);
    NotificationFact::Raised(Box::new(NewNotification {
        channel_id,
        notification_type: kind,
        endpoint_id: Some(cause.endpoint_id),
        delivery_id: cause.delivery_id,
        count: 1,
        since: cause.time,
        reason: cause.reason.clone(),
        due_time: now,
        summary: None,
        incident: Some(IncidentAction::Close),
    }))
}

fn count_one_more(fact: &mut NotificationFact, cause: &NotificationCause) {
    match fact {
        NotificationFact::Raised(new) => {
            new.count = new.count.saturating_add(1);
            new.delivery_id = cause.delivery_id;
        }
        NotificationFact::Counted { count, delivery_id } => {
            *count = count.saturating_add(1);
            *delivery_id = cause.delivery_id;
        }
        NotificationFact::Sent { .. }
        | NotificationFact::Failed { .. }
        | NotificationFact::Withdrawn { .. } => {}
    }
}
