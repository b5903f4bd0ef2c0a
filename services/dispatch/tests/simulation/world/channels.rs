//! Notification channels of the simulated world: webhooks that the simulated network answers.

use std::collections::BTreeSet;

use keeptrusts_webhooks_domain::channel::{
    Channel, ChannelCommand, ChannelConfig, ChannelFact, ChannelKind, Destination,
};
use keeptrusts_webhooks_domain::fact::Fact;
use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId, NotificationId, OrganizationId};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::notification::{
    NewNotification, Notification, NotificationFact, NotificationType,
};
use keeptrusts_webhooks_domain::{Timestamp, secret::Secret};
use keeptrusts_webhooks_store::queries::NotificationFilter;
use keeptrusts_webhooks_store::{ExpectedVersion, NewRecord, new_ulid};

use super::{World, secret};

/// Every type but the summary.
pub(crate) const ALL_BUT_SUMMARY: [NotificationType; 4] = [
    NotificationType::DeliveryExhausted,
    NotificationType::EndpointDegraded,
    NotificationType::EndpointRecovered,
    NotificationType::EndpointDisabled,
];

/// A notification as its channel received it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReceivedNotification {
    pub(crate) time: Timestamp,
    /// `event` without `notification.`.
    pub(crate) what: String,
    pub(crate) count: u64,
    pub(crate) status: Option<u16>,
}

impl World {
    /// Creates a channel of the first organization: a webhook of that name.
    pub(crate) async fn channel(&self, name: &str, types: &[NotificationType]) -> ChannelId {
        self.channel_for(name, types, &[]).await
    }

    /// The same, about these endpoints only.
    pub(crate) async fn channel_for(
        &self,
        name: &str,
        types: &[NotificationType],
        endpoints: &[EndpointId],
    ) -> ChannelId {
        let id = ChannelId::new(new_ulid(self.now()));
        let destination = self.destination(id, ChannelKind::Webhook, name).await;
        self.create_channel(id, destination, name, types, endpoints).await
    }

    /// Creates a channel of the first organization to a PagerDuty service of that name.
    pub(crate) async fn pager(&self, name: &str, types: &[NotificationType]) -> ChannelId {
        let id = ChannelId::new(new_ulid(self.now()));
        let destination = self.destination(id, ChannelKind::PagerDuty, name).await;
        self.create_channel(id, destination, name, types, &[]).await
    }

    /// Creates a channel of the first organization that mails so many people.
    pub(crate) async fn mail(&self, recipients: usize, types: &[NotificationType]) -> ChannelId {
        let id = ChannelId::new(new_ulid(self.now()));
        let addresses: Vec<_> =
            (0..recipients).map(|number| format!("on-call-{number}@example.com")).collect();
        let (kind, address) = (ChannelKind::Email, addresses.join(","));
        let destination = Destination { kind, address, secret: None };
        self.create_channel(id, destination, "mail", types, &[]).await
    }

    /// A destination with a secret of its own.
    pub(crate) async fn destination(
        &self,
        id: ChannelId,
        kind: ChannelKind,
        name: &str,
    ) -> Destination {
        let organization = &self.organizations[0];
        let key: Secret = secret();
        let sealed = self.api_process.keyring.seal(organization, id, &key).await.expect("sealed");
        let address = format!("https://channels.example/{name}");
        Destination { kind, address, secret: Some(sealed) }
    }

    async fn create_channel(
        &self,
        id: ChannelId,
        destination: Destination,
        name: &str,
        types: &[NotificationType],
        endpoints: &[EndpointId],
    ) -> ChannelId {
        let organization = &self.organizations[0];
        let config = ChannelConfig {
            display_name: name.to_owned(),
            destination,
            subscriptions: types.to_vec(),
            endpoint_ids: endpoints.to_vec(),
        };
        let fact = ChannelFact::Created(config);
        self.append_to_channel(organization, id, ExpectedVersion::New, fact).await;
        id
    }

    pub(crate) async fn command_channel(&self, id: ChannelId, command: ChannelCommand) {
        loop {
            let channel = self.read_channel(id).await;
            let decided = channel.decide(command.clone(), None).expect("it is there");
            let Some(fact) = decided else { return };
            let record = NewRecord::following(&channel, fact);
            // Its health may be recorded at this moment; then it is read again.
            if self.append(&channel.organization_id, record, None).await.is_ok() {
                return;
            }
        }
    }

    async fn append_to_channel(
        &self,
        organization: &OrganizationId,
        id: ChannelId,
        expected: ExpectedVersion,
        fact: ChannelFact,
    ) {
        let record = NewRecord { stream: Stream::Channel(id), expected, fact: Fact::Channel(fact) };
        self.append(organization, record, None).await.expect("it is recorded");
    }

    /// Requests a test of a channel.
    pub(crate) async fn test_channel(&self, channel_id: ChannelId) -> NotificationId {
        let organization = self.read_channel(channel_id).await.organization_id;
        let id = NotificationId::new(new_ulid(self.now()));
        let new = NewNotification {
            channel_id,
            notification_type: NotificationType::Test,
            endpoint_id: None,
            delivery_id: None,
            count: 1,
            since: self.now(),
            reason: String::new(),
            due_time: self.now(),
            summary: None,
            incident: None,
        };
        let record = NewRecord {
            stream: Stream::Notification(id),
            expected: ExpectedVersion::New,
            fact: Fact::Notification(NotificationFact::Raised(Box::new(new))),
        };
        self.append(&organization, record, None).await.expect("it is recorded");
        id
    }

    pub(crate) async fn read_channel(&self, id: ChannelId) -> Channel {
        let organization = &self.organizations[0];
        let shard = self.shard_of(organization);
        let found = self.database.channel(shard, organization, id).await;
        found.expect("readable").expect("it exists")
    }

    /// Every notification, the oldest first.
    pub(crate) async fn notifications(&self) -> Vec<Notification> {
        let organization = &self.organizations[0];
        let shard = self.shard_of(organization);
        let (all, before) = (NotificationFilter::default(), NotificationId::MAX);
        let found =
            self.database.list_notifications(shard, organization, &all, before, 1_000_000).await;
        let mut found = found.expect("readable").rows;
        found.reverse();
        found
    }

    /// The notifications that a channel received.
    pub(crate) fn received_by(&self, name: &str) -> Vec<ReceivedNotification> {
        let requests = self.requests().into_iter().filter(|request| request.to == name);
        requests
            .map(|request| {
                let body: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
                let event = body["event"].as_str().expect("an event");
                ReceivedNotification {
                    time: request.time,
                    what: event.trim_start_matches("notification.").to_owned(),
                    count: body["data"]["count"].as_u64().expect("a count"),
                    status: request.status,
                }
            })
            .collect()
    }

    /// The keys of the incidents that a PagerDuty service has open after its events. Events that it
    /// did not answer count as accepted.
    pub(crate) fn open_incidents(&self, name: &str) -> BTreeSet<String> {
        let mut open = BTreeSet::new();
        for event in self.incident_events(name) {
            match event.action.as_str() {
                "trigger" => _ = open.insert(event.key),
                "resolve" => _ = open.remove(&event.key),
                other => panic!("no action of ours: {other}"),
            }
        }
        open
    }

    /// The events that a PagerDuty service accepted.
    pub(crate) fn incident_events(&self, name: &str) -> Vec<IncidentEvent> {
        let requests = self.requests().into_iter().filter(|request| request.to == name);
        let taken = requests.filter(|request| request.status.is_none_or(|status| status < 300));
        taken
            .map(|request| {
                let body: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
                let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
                IncidentEvent {
                    time: request.time,
                    action: text(&body["event_action"]),
                    class: text(&body["payload"]["class"]),
                    key: text(&body["dedup_key"]),
                }
            })
            .collect()
    }
}

/// An event that a PagerDuty service was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IncidentEvent {
    pub(crate) time: Timestamp,
    /// `trigger` or `resolve`.
    pub(crate) action: String,
    /// The type of the notification.
    pub(crate) class: String,
    pub(crate) key: String,
}
