//! The fold: the contents of the tables, computed from the records. Pure, so that dropping the tables
//! and folding the log again gives the same tables (invariant 7), in every backend.
//!
//! Decision: docs/decisions/projections-are-folded-in-rust.md

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::attempt::{Attempt, AttemptDetails, AttemptOutcome, Trigger};
use keeptrusts_webhooks_domain::channel::{Channel, ChannelFact};
use keeptrusts_webhooks_domain::delivery::{Delivery, DeliveryState};
use keeptrusts_webhooks_domain::endpoint::{Endpoint, FailureStreak};
use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::fact::{DeliveriesScheduled, DeliveryFact, EndpointFact, Fact};
use keeptrusts_webhooks_domain::ids::{
    ChannelId, DeliveryId, EndpointId, EventId, KeyId, NotificationId, OrganizationId, ReplayId,
};
use keeptrusts_webhooks_domain::incident::Incident;
use keeptrusts_webhooks_domain::key::{Key, KeyFact};
use keeptrusts_webhooks_domain::log::{Position, Stream, Version};
use keeptrusts_webhooks_domain::notification::{Notification, NotificationFact};
use keeptrusts_webhooks_domain::pause::Pause;
use keeptrusts_webhooks_domain::replay::{Replay, ReplayFact};
use keeptrusts_webhooks_domain::request::{RecordedRequest, RequestId};

use super::rows::{EndpointIncident, FailingEndpoint, PausedEndpoint};
use crate::durations;
use crate::log::count_limit::CountOwner;
use crate::log::damage::LogDamage;
use crate::log::operation::Record;

/// Rows that exist and that the records at hand may change.
#[derive(Debug, Default, Clone)]
pub struct LoadedRows {
    /// By id, deleted ones included.
    pub endpoints: HashMap<EndpointId, Endpoint>,
    /// By id.
    pub deliveries: HashMap<DeliveryId, Delivery>,
    /// By id.
    pub keys: HashMap<KeyId, Key>,
    /// By id.
    pub replays: HashMap<ReplayId, Replay>,
    /// By id, deleted ones included.
    pub channels: HashMap<ChannelId, Channel>,
    /// By id.
    pub notifications: HashMap<NotificationId, Notification>,
}

/// The ids of the rows that must be loaded before records can be folded. Each id occurs once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AffectedRows {
    pub endpoints: Vec<(OrganizationId, EndpointId)>,
    pub deliveries: Vec<(OrganizationId, DeliveryId)>,
    pub keys: Vec<KeyId>,
    pub replays: Vec<(OrganizationId, ReplayId)>,
    pub channels: Vec<(OrganizationId, ChannelId)>,
    pub notifications: Vec<(OrganizationId, NotificationId)>,
}

impl AffectedRows {
    /// The existing rows that facts on these streams may change.
    pub fn of<'a>(
        facts: impl IntoIterator<Item = (&'a OrganizationId, Stream, &'a Fact)>,
    ) -> AffectedRows {
        let mut affected = AffectedRows::default();
        for (organization, stream, fact) in facts {
            match (stream, fact) {
                (_, Fact::Endpoint(EndpointFact::Created { .. }))
                | (_, Fact::Channel(ChannelFact::Created(_)))
                | (_, Fact::Delivery(DeliveryFact::TestRequested { .. }))
                | (_, Fact::Delivery(DeliveryFact::Replayed { .. }))
                | (_, Fact::Replay(ReplayFact::Requested(_)))
                | (Stream::Event(_) | Stream::Operation(_), _) => {}
                (Stream::Endpoint(id), _) => affected.endpoints.push((organization.clone(), id)),
                (Stream::Delivery(id), _) => affected.deliveries.push((organization.clone(), id)),
                // New ones too: some are created only if they do not exist.
                (Stream::Key(id), _) => affected.keys.push(id),
                (Stream::Replay(id), _) => affected.replays.push((organization.clone(), id)),
                (Stream::Channel(id), _) => affected.channels.push((organization.clone(), id)),
                // New ones too: a summary is created only if it does not exist.
                (Stream::Notification(id), _) => {
                    affected.notifications.push((organization.clone(), id));
                }
            }
        }
        affected.endpoints.sort_unstable();
        affected.endpoints.dedup();
        affected.deliveries.sort_unstable();
        affected.deliveries.dedup();
        affected.keys.sort_unstable();
        affected.keys.dedup();
        affected.replays.sort_unstable();
        affected.replays.dedup();
        affected.channels.sort_unstable();
        affected.channels.dedup();
        affected.notifications.sort_unstable();
        affected.notifications.dedup();
        affected
    }
}

/// An event that an endpoint subscribes to but was not sent, because it was disabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissedEvent {
    pub organization_id: OrganizationId,
    pub endpoint_id: EndpointId,
    pub event_id: EventId,
    /// The record that says so.
    pub position: Position,
}

/// What attempts are counted by. Tests are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CountKey {
    pub endpoint_id: EndpointId,
    /// The beginning of the hour in which they began, UTC.
    pub hour: Timestamp,
    pub outcome: AttemptOutcome,
    /// How long they took; see [`durations`].
    pub duration_bucket: u16,
}

/// How an endpoint's health changes. If both are set, `ended` comes first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthChange {
    /// It does not fail any more: an attempt succeeded, or it was enabled or deleted.
    pub ended: bool,
    /// It fails from now on; if the table says that it has failed for longer, it goes on failing.
    pub began: Option<FailureStreak>,
}

/// The changes of the tables: rows to insert, rows to replace, counts to add.
#[derive(Debug, Default)]
pub struct Changes {
    /// Rows to insert or replace.
    pub endpoints: BTreeMap<EndpointId, Endpoint>,
    /// Rows to insert.
    pub events: Vec<Event>,
    /// Rows to insert.
    pub new_deliveries: BTreeMap<DeliveryId, Delivery>,
    /// Rows to replace.
    pub changed_deliveries: BTreeMap<DeliveryId, Delivery>,
    /// Rows to insert.
    pub attempts: Vec<Attempt>,
    /// Rows to insert.
    pub missed: Vec<MissedEvent>,
    /// To add to the stored counts.
    pub attempt_counts: BTreeMap<CountKey, u64>,
    /// Rows to delete, and rows to insert or to add failures to. The stored rows are not read before: a success of an endpoint
    /// that is well deletes nothing, which costs a look into a small table.
    pub health: BTreeMap<(OrganizationId, EndpointId), HealthChange>,
    /// Rows to insert or replace; None: to delete. The stored rows are not read before: whoever
    /// records a pause knows whether it is longer than the one before.
    pub pauses: BTreeMap<(OrganizationId, EndpointId), Option<Pause>>,
    /// Rows to insert or replace.
    pub keys: BTreeMap<KeyId, Key>,
    /// Rows to insert or replace.
    pub replays: BTreeMap<ReplayId, Replay>,
    /// Rows to insert or replace.
    pub channels: BTreeMap<ChannelId, Channel>,
    /// Rows to insert or replace.
    pub notifications: BTreeMap<NotificationId, Notification>,
    /// To merge with the stored rows, which need not be read: an incident is a maximum.
    pub incidents: BTreeMap<IncidentKey, Incident>,
    /// Rows to insert or replace. The stored rows are not read: the last request with an id counts.
    pub requests: BTreeMap<RequestOwner, RecordedRequest>,
}

/// The rows of changes that are kept in another form.
impl Changes {
    pub(crate) fn attempt_counts(&self) -> Vec<(CountKey, u64)> {
        self.attempt_counts.iter().map(|(key, count)| (*key, *count)).collect()
    }

    /// Endpoints that do not fail any more.
    pub(crate) fn recovered_endpoints(&self) -> Vec<(OrganizationId, EndpointId)> {
        let recovered =
            self.health.iter().filter(|(_, change)| change.ended && change.began.is_none());
        recovered.map(|(key, _)| key.clone()).collect()
    }

    /// Endpoints that fail from now on, unless they have failed before.
    pub(crate) fn failing_endpoints(&self) -> Vec<FailingEndpoint> {
        self.begun_failing(|change| !change.ended)
    }

    /// Endpoints that have recovered, and fail from now on.
    pub(crate) fn failing_again(&self) -> Vec<FailingEndpoint> {
        self.begun_failing(|change| change.ended)
    }

    fn begun_failing(&self, is_wanted: impl Fn(&HealthChange) -> bool) -> Vec<FailingEndpoint> {
        let wanted = self.health.iter().filter(|(_, change)| is_wanted(change));
        let begun = wanted.filter_map(|((organization, endpoint), change)| {
            let (organization_id, endpoint_id) = (organization.clone(), *endpoint);
            Some(FailingEndpoint { organization_id, endpoint_id, failing: change.began? })
        });
        begun.collect()
    }

    pub(crate) fn ended_pauses(&self) -> Vec<(OrganizationId, EndpointId)> {
        self.pauses
            .iter()
            .filter(|(_, pause)| pause.is_none())
            .map(|(key, _)| key.clone())
            .collect()
    }

    pub(crate) fn begun_pauses(&self) -> Vec<PausedEndpoint> {
        let begun = self.pauses.iter().filter_map(|((organization, endpoint), pause)| {
            let (organization_id, endpoint_id) = (organization.clone(), *endpoint);
            Some(PausedEndpoint { organization_id, endpoint_id, pause: (*pause)? })
        });
        begun.collect()
    }

    pub(crate) fn incidents(&self) -> Vec<EndpointIncident> {
        let incidents =
            self.incidents.iter().map(|((organization, channel, endpoint), incident)| {
                EndpointIncident {
                    organization_id: organization.clone(),
                    channel_id: *channel,
                    endpoint_id: *endpoint,
                    incident: *incident,
                }
            });
        incidents.collect()
    }
}

/// A request's id belongs to an organization.
pub type RequestOwner = (OrganizationId, RequestId);

/// The incident of an endpoint at a channel's service.
pub type IncidentKey = (OrganizationId, ChannelId, EndpointId);

/// Folds records in their order.
#[derive(Debug, Default)]
pub struct Fold {
    loaded: LoadedRows,
    /// Recorded requests, which new ones are compared with.
    loaded_requests: BTreeMap<RequestOwner, RecordedRequest>,
    changes: Changes,
}

impl Fold {
    /// Begins with the rows that exist.
    pub fn new(loaded: LoadedRows) -> Fold {
        Fold { loaded, ..Fold::default() }
    }

    /// Adds recorded requests.
    pub fn load_requests(&mut self, requests: Vec<RecordedRequest>) {
        self.loaded_requests.extend(requests.into_iter().map(|row| (request_owner(&row), row)));
    }

    /// An endpoint as the records so far leave it.
    pub fn endpoint(&self, id: EndpointId) -> Option<&Endpoint> {
        self.changes.endpoints.get(&id).or_else(|| self.loaded.endpoints.get(&id))
    }

    /// A delivery as the records so far leave it.
    pub fn delivery(&self, id: DeliveryId) -> Option<&Delivery> {
        self.changes
            .new_deliveries
            .get(&id)
            .or_else(|| self.changes.changed_deliveries.get(&id))
            .or_else(|| self.loaded.deliveries.get(&id))
    }

    /// A key as the records so far leave it.
    pub fn key(&self, id: KeyId) -> Option<&Key> {
        self.changes.keys.get(&id).or_else(|| self.loaded.keys.get(&id))
    }

    /// A replay as the records so far leave it.
    pub fn replay(&self, id: ReplayId) -> Option<&Replay> {
        self.changes.replays.get(&id).or_else(|| self.loaded.replays.get(&id))
    }

    /// A channel as the records so far leave it.
    pub fn channel(&self, id: ChannelId) -> Option<&Channel> {
        self.changes.channels.get(&id).or_else(|| self.loaded.channels.get(&id))
    }

    /// A notification as the records so far leave it.
    pub fn notification(&self, id: NotificationId) -> Option<&Notification> {
        self.changes.notifications.get(&id).or_else(|| self.loaded.notifications.get(&id))
    }

    /// The last request with an id, as the records so far leave it.
    pub fn request(&self, owner: &RequestOwner) -> Option<&RecordedRequest> {
        self.changes.requests.get(owner).or_else(|| self.loaded_requests.get(owner))
    }

    /// By how many the records so far have changed the number of something.
    pub(crate) fn added(&self, (organization, counted): &CountOwner) -> i64 {
        let Fold { loaded, changes, .. } = self;
        difference(&changes.endpoints, &loaded.endpoints, |row| {
            row.organization_id == *organization && counted.includes_endpoint(row)
        }) + difference(&changes.channels, &loaded.channels, |row| {
            row.organization_id == *organization && counted.includes_channel(row)
        }) + difference(&changes.replays, &loaded.replays, |row| {
            row.organization_id == *organization && counted.includes_replay(row)
        })
    }

    /// Folds one more record.
    pub fn apply(&mut self, record: &Record) -> Result<(), LogDamage> {
        self.apply_fact(record)?;
        if let Some(request) = &record.metadata.request {
            let row = RecordedRequest {
                organization_id: record.organization_id.clone(),
                request: request.clone(),
                stream: record.stream,
                time: record.recorded_at,
            };
            self.changes.requests.insert(request_owner(&row), row);
        }
        Ok(())
    }

    fn apply_fact(&mut self, record: &Record) -> Result<(), LogDamage> {
        match (&record.fact, record.stream) {
            (Fact::Endpoint(fact), Stream::Endpoint(id)) => self.apply_endpoint(id, fact, record),
            (Fact::EventAccepted(_), Stream::Event(_)) => {
                check_succession(record, true, Version(1))?;
                self.changes.events.extend(record.accepted_event());
                Ok(())
            }
            (Fact::DeliveriesScheduled(scheduled), Stream::Event(event_id)) => {
                check_succession(record, true, Version(2))?;
                let deliveries = scheduled_deliveries(record);
                self.changes
                    .new_deliveries
                    .extend(deliveries.map(|delivery| (delivery.id, delivery)));
                self.changes.missed.extend(scheduled.missed.iter().map(|endpoint_id| {
                    MissedEvent {
                        organization_id: record.organization_id.clone(),
                        endpoint_id: *endpoint_id,
                        event_id,
                        position: record.position,
                    }
                }));
                Ok(())
            }
            (Fact::Delivery(fact), Stream::Delivery(id)) => self.apply_delivery(id, fact, record),
            (Fact::Key(fact), Stream::Key(id)) => self.apply_key(id, fact, record),
            (Fact::Replay(fact), Stream::Replay(id)) => self.apply_replay(id, fact, record),
            (Fact::Channel(fact), Stream::Channel(id)) => self.apply_channel(id, fact, record),
            (Fact::Notification(fact), Stream::Notification(id)) => {
                self.apply_notification(id, fact, record)
            }
            // It records what an operator did outside the tables.
            (Fact::Operator(_), Stream::Operation(_)) => check_succession(record, true, Version(1)),
            _ => Err(unfounded(record)),
        }
    }

    /// The changes of the tables that follow from all folded records.
    pub fn into_changes(self) -> Changes {
        self.changes
    }

    fn apply_endpoint(
        &mut self,
        id: EndpointId,
        fact: &EndpointFact,
        record: &Record,
    ) -> Result<(), LogDamage> {
        let endpoint = if let EndpointFact::Created { config, secret } = fact {
            let (organization, config) = (record.organization_id.clone(), config.clone());
            Endpoint::created(id, organization, config, secret.clone(), record.recorded_at)
        } else {
            let mut endpoint = self.endpoint(id).cloned().ok_or_else(|| unfounded(record))?;
            endpoint.apply(fact, record.recorded_at);
            endpoint
        };
        let is_of_owner = endpoint.organization_id == record.organization_id;
        check_succession(record, is_of_owner, endpoint.version)?;
        self.changes.endpoints.insert(id, endpoint);
        if matches!(fact, EndpointFact::Enabled | EndpointFact::Deleted) {
            self.end_failing(&record.organization_id, id);
        }
        if fact.ends_pause() {
            self.changes.pauses.insert((record.organization_id.clone(), id), None);
        }
        Ok(())
    }

    fn end_failing(&mut self, organization: &OrganizationId, id: EndpointId) {
        let over = HealthChange { ended: true, began: None };
        self.changes.health.insert((organization.clone(), id), over);
    }

    fn note_health(
        &mut self,
        details: &AttemptDetails,
        outcome: AttemptOutcome,
        delivery: DeliveryId,
        record: &Record,
    ) {
        if outcome == AttemptOutcome::Delivered {
            return self.end_failing(&record.organization_id, details.endpoint_id);
        }
        if details.trigger == Trigger::Test {
            return;
        }
        let key = (record.organization_id.clone(), details.endpoint_id);
        let change = self.changes.health.entry(key).or_default();
        let failure = FailureStreak::begin(details.start_time, delivery);
        change.began = Some(change.began.map_or(failure, |begun| begun.followed_by(failure)));
    }

    fn note_pause(&mut self, id: DeliveryId, fact: &DeliveryFact, record: &Record) {
        if let DeliveryFact::AttemptFailed { details, endpoint_pause: Some(wait), .. } = fact {
            let status_code = details.status_code.unwrap_or_default();
            let pause = Pause::new(record.recorded_at, *wait, id, status_code);
            let key = (record.organization_id.clone(), details.endpoint_id);
            self.changes.pauses.insert(key, Some(pause));
        }
    }

    fn apply_key(&mut self, id: KeyId, fact: &KeyFact, record: &Record) -> Result<(), LogDamage> {
        let key = if let KeyFact::Created(new) = fact {
            let creator = record.metadata.actor.clone();
            let organization = record.organization_id.clone();
            Key::created(id, organization, new.clone(), creator, record.recorded_at)
        } else {
            let mut key = self.key(id).cloned().ok_or_else(|| unfounded(record))?;
            key.apply(fact, record.recorded_at);
            key
        };
        check_succession(record, key.organizations.is_of(&record.organization_id), key.version)?;
        self.changes.keys.insert(id, key);
        Ok(())
    }

    fn apply_replay(
        &mut self,
        id: ReplayId,
        fact: &ReplayFact,
        record: &Record,
    ) -> Result<(), LogDamage> {
        let replay = if let ReplayFact::Requested(new) = fact {
            let creator = record.metadata.actor.clone();
            let organization = record.organization_id.clone();
            let at = (record.position, record.recorded_at);
            Replay::requested(id, organization, new.clone(), creator, at)
        } else {
            let mut replay = self.replay(id).cloned().ok_or_else(|| unfounded(record))?;
            replay.apply(fact, record.recorded_at);
            replay
        };
        let is_of_owner = replay.organization_id == record.organization_id;
        check_succession(record, is_of_owner, replay.version)?;
        self.changes.replays.insert(id, replay);
        Ok(())
    }

    fn apply_channel(
        &mut self,
        id: ChannelId,
        fact: &ChannelFact,
        record: &Record,
    ) -> Result<(), LogDamage> {
        let channel = if let ChannelFact::Created(config) = fact {
            let organization = record.organization_id.clone();
            Channel::created(id, organization, config.clone(), record.recorded_at)
        } else {
            let mut channel = self.channel(id).cloned().ok_or_else(|| unfounded(record))?;
            channel.apply(fact, record.recorded_at);
            channel
        };
        let is_of_owner = channel.organization_id == record.organization_id;
        check_succession(record, is_of_owner, channel.version)?;
        self.changes.channels.insert(id, channel);
        Ok(())
    }

    fn apply_notification(
        &mut self,
        id: NotificationId,
        fact: &NotificationFact,
        record: &Record,
    ) -> Result<(), LogDamage> {
        let cause = record.metadata.causation.unwrap_or(Position::START);
        let notification = if let NotificationFact::Raised(new) = fact {
            let (organization, new) = (record.organization_id.clone(), (**new).clone());
            Notification::raised(id, organization, new, cause, record.recorded_at)
        } else {
            let mut notification =
                self.notification(id).cloned().ok_or_else(|| unfounded(record))?;
            notification.apply(fact, cause, record.recorded_at);
            notification
        };
        let is_of_owner = notification.organization_id == record.organization_id;
        check_succession(record, is_of_owner, notification.version)?;
        let incident = notification.incident_after(fact, cause);
        if let (Some(incident), Some(endpoint)) = (incident, notification.new.endpoint_id) {
            let key = (record.organization_id.clone(), notification.new.channel_id, endpoint);
            self.changes.incidents.entry(key).or_default().merge(incident);
        }
        self.changes.notifications.insert(id, notification);
        Ok(())
    }

    fn apply_delivery(
        &mut self,
        id: DeliveryId,
        fact: &DeliveryFact,
        record: &Record,
    ) -> Result<(), LogDamage> {
        if let DeliveryFact::TestRequested { event_id, event_type, event_time, body, .. } = fact {
            self.changes.events.push(Event {
                id: *event_id,
                organization_id: record.organization_id.clone(),
                event_type: *event_type,
                is_test: true,
                event_time: *event_time,
                create_time: record.recorded_at,
                body: *body,
                idempotency: None,
                trace_id: record.metadata.trace.as_ref().map(|trace| trace.trace_id),
                publisher: record.metadata.actor.clone(),
                position: record.position,
            });
        }
        if let DeliveryFact::TestRequested { .. } | DeliveryFact::Replayed { .. } = fact {
            check_succession(record, true, Version(1))?;
            let deliveries = scheduled_deliveries(record);
            self.changes.new_deliveries.extend(deliveries.map(|delivery| (delivery.id, delivery)));
            return Ok(());
        }
        let apply = |delivery: &mut Delivery| {
            delivery.apply(fact, record.recorded_at, record.metadata.steady_time);
            delivery.note_request(fact, record.metadata.trace.as_ref());
            let is_of_owner = delivery.organization_id == record.organization_id;
            check_succession(record, is_of_owner, delivery.version)
        };
        if let Some(delivery) = self.changes.new_deliveries.get_mut(&id) {
            apply(delivery)?;
        } else {
            let mut delivery = self.delivery(id).cloned().ok_or_else(|| unfounded(record))?;
            apply(&mut delivery)?;
            self.changes.changed_deliveries.insert(id, delivery);
        }
        self.add_attempt(id, fact, record);
        Ok(())
    }

    fn add_attempt(&mut self, delivery_id: DeliveryId, fact: &DeliveryFact, record: &Record) {
        let Some((details, outcome, error, next_attempt_time)) = fact.attempt() else { return };
        self.changes.attempts.push(Attempt {
            organization_id: record.organization_id.clone(),
            delivery_id,
            details: details.clone(),
            outcome,
            error: error.to_owned(),
            next_attempt_time,
        });
        self.note_health(details, outcome, delivery_id, record);
        self.note_pause(delivery_id, fact, record);
        if details.trigger != Trigger::Test {
            let key = CountKey {
                endpoint_id: details.endpoint_id,
                hour: hour_of(details.start_time),
                outcome,
                duration_bucket: durations::bucket(details.duration),
            };
            *self.changes.attempt_counts.entry(key).or_default() += 1;
        }
    }
}

/// The beginning of the hour that `time` lies in, UTC.
pub fn hour_of(time: Timestamp) -> Timestamp {
    const HOUR: i64 = 3_600;
    let seconds = time.as_second().div_euclid(HOUR) * HOUR;
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MIN)
}

/// The deliveries that a record creates, in their first state: those of a DeliveriesScheduled, the
/// one of a TestRequested or a DeliveryReplayed, none for any other record.
pub fn scheduled_deliveries(record: &Record) -> impl Iterator<Item = Delivery> + '_ {
    let (event_id, event_type, event_time, ids, version) = match (&record.fact, record.stream) {
        (Fact::DeliveriesScheduled(scheduled), Stream::Event(event_id)) => {
            let DeliveriesScheduled { event_type, event_time, deliveries, .. } = scheduled;
            (event_id, *event_type, *event_time, deliveries.clone(), Version(0))
        }
        (
            Fact::Delivery(DeliveryFact::TestRequested {
                event_id,
                event_type,
                endpoint_id,
                event_time,
                ..
            }),
            Stream::Delivery(id),
        ) => (*event_id, *event_type, Some(*event_time), vec![(id, *endpoint_id)], Version(1)),
        (
            Fact::Delivery(DeliveryFact::Replayed {
                event_id,
                event_type,
                event_time,
                endpoint_id,
                ..
            }),
            Stream::Delivery(id),
        ) => (*event_id, *event_type, *event_time, vec![(id, *endpoint_id)], Version(1)),
        _ => (EventId::MIN, EventType::Test, None, Vec::new(), Version(0)),
    };
    let Record { organization_id, recorded_at, metadata, .. } = record;
    let trace = match &record.fact {
        Fact::Delivery(DeliveryFact::Replayed { trace, .. }) => trace,
        _ => &metadata.trace,
    };
    ids.into_iter().map(move |(id, endpoint_id)| {
        let mut delivery = Delivery {
            id,
            organization_id: organization_id.clone(),
            event_id,
            event_type,
            is_test: record.fact.test_event().is_some(),
            event_time,
            endpoint_id,
            state: DeliveryState::Scheduled,
            attempt_count: 0,
            automatic_count: 0,
            next_attempt_time: Some(*recorded_at),
            steady_due_time: metadata.steady_time,
            retry_request_time: None,
            retry_request_trace: None,
            replay_request_trace: None,
            trace: trace.clone(),
            create_time: *recorded_at,
            end_reason: String::new(),
            version,
        };
        if let Fact::Delivery(fact) = &record.fact {
            delivery.note_request(fact, metadata.trace.as_ref());
        }
        delivery
    })
}

/// How many more rows are included than before they were changed.
fn difference<Id: Ord + Hash, Row>(
    changed: &BTreeMap<Id, Row>,
    loaded: &HashMap<Id, Row>,
    is_included: impl Fn(&Row) -> bool,
) -> i64 {
    let differences = changed.iter().map(|(id, row)| {
        i64::from(is_included(row)) - i64::from(loaded.get(id).is_some_and(&is_included))
    });
    differences.sum()
}

fn request_owner(row: &RecordedRequest) -> RequestOwner {
    (row.organization_id.clone(), row.request.id.clone())
}

fn unfounded(record: &Record) -> LogDamage {
    LogDamage::Unfounded { position: record.position, stream: record.stream }
}

/// Judges whether a record is the next one of its entity, whose state it leaves at `version`.
fn check_succession(record: &Record, is_of_owner: bool, version: Version) -> Result<(), LogDamage> {
    let Record { position, stream, version: found, .. } = *record;
    if found != version {
        let before = Version(version.0 - 1);
        return Err(LogDamage::OtherVersion { position, stream, found, before });
    }
    match is_of_owner {
        true => Ok(()),
        false => Err(LogDamage::OtherOrganization { position, stream }),
    }
}

#[cfg(test)]
#[path = "projection_tests.rs"]
mod tests;
