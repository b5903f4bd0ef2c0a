//! The conversions of all requests, and what they find wrong.

use keeptrusts_webhooks_contracts::api::{
    AttemptRef, ChannelRef, CreateChannel, CreateEndpoint, CreateKey, CreateReplay, CreateSession,
    DeleteChannel, DeleteEndpoint, DeliveryRef, DisableEndpoint, EmptyRequest, EndpointRef,
    EventRef, GetEndpointStats, GetHealthSummary, ListAttempts, ListAuditEntries, ListChannels,
    ListDeliveries, ListEndpoints, ListEventTypes, ListEvents, ListKeys, ListNotifications,
    ListReplays, PreviewPayload, Publish, PublishBatch, ReplayRef, RevokeKey, RotateSecret,
    UpdateChannel, UpdateEndpoint, Violations, WatchDeliveries,
};
use keeptrusts_webhooks_contracts::{v1, wire};
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::key::{check_key_expiration, check_session_expiration};
use keeptrusts_webhooks_domain::payload_format::{PayloadFields, PayloadFormat};
use keeptrusts_webhooks_domain::violation::Violation;
use prost::Message;

use crate::Found;

pub(crate) const PACKAGE: &str = "keeptrusts.webhooks.v1";

/// Requests that are not served yet.
pub(crate) const PENDING_REQUESTS: &[&str] =
    &["GetKeyRequest", "GetNotificationRequest", "StreamEventsRequest", "WatchEventsRequest"];

/// Fields that are not looked at yet.
pub(crate) const PENDING_FIELDS: &[&str] = &[
    "request_id",
    "CreateEndpointRequest.endpoint_id",
    "CreateChannelRequest.channel_id",
    "ListAuditEntriesRequest.actions",
    "ListAuditEntriesRequest.endpoint_ids",
    "ListDeliveriesRequest.states",
    "ListEndpointsRequest.states",
    "ListEventTypesRequest.page_size",
    "ListKeysRequest.states",
    "ListNotificationsRequest.channel_ids",
    "ListNotificationsRequest.states",
    "ListReplaysRequest.endpoint_ids",
    "ListReplaysRequest.states",
    "UpdateChannelRequest.update_mask",
    "WatchDeliveriesRequest.endpoint_ids",
    "view",
];

/// A request's conversion.
pub(crate) struct Check {
    pub(crate) request: &'static str,
    /// The violations of a request with these bytes.
    pub(crate) check: fn(&[u8]) -> Vec<Found>,
}

/// Checks a request as a server does: its bytes, then the message, then what handlers check.
fn found<M, T>(
    name: &str,
    bytes: &[u8],
    then: impl FnOnce(T) -> Result<(), Vec<Violation>>,
) -> Vec<Found>
where
    M: Message + Default,
    T: TryFrom<M, Error = Violations>,
{
    if let Err(violation) = wire::examine(&format!("{PACKAGE}.{name}"), bytes) {
        return vec![(violation.field, violation.description)];
    }
    let message = M::decode(bytes).expect("a message");
    let violations = match T::try_from(message) {
        Ok(request) => then(request).err().unwrap_or_default(),
        Err(violations) => violations.into_vec(),
    };
    violations.into_iter().map(|violation| (violation.field, violation.description)).collect()
}

macro_rules! checks {
    ($($request:ident => $checked:ty $(, $then:expr)?;)*) => {
        &[$(Check {
            request: stringify!($request),
            check: |bytes| {
                found::<v1::$request, $checked>(stringify!($request), bytes, checks!(@then $($then)?))
            },
        }),*]
    };
    (@then) => { |_| Ok(()) };
    (@then $then:expr) => { $then };
}

pub(crate) const CHECKS: &[Check] = checks! {
    CreateEndpointRequest => CreateEndpoint;
    GetEndpointRequest => EndpointRef;
    ListEndpointsRequest => ListEndpoints;
    UpdateEndpointRequest => UpdateEndpoint, |request| {
        // Of an endpoint with a template.
        let stored = PayloadFormat::Custom { template: "{}".to_owned() };
        let patch = request.patch.payload_format.unwrap_or_default();
        patch.resolve(&stored, PayloadFields::IN_ENDPOINT).map(|_| ())
    };
    EnableEndpointRequest => EndpointRef;
    DisableEndpointRequest => DisableEndpoint;
    DeleteEndpointRequest => DeleteEndpoint;
    RotateSecretRequest => RotateSecret;
    RevealSecretRequest => EndpointRef;
    PreviewPayloadRequest => PreviewPayload;
    ListEventTypesRequest => ListEventTypes;
    PublishEventRequest => Publish;
    BatchPublishEventsRequest => PublishBatch;
    GetEventRequest => EventRef;
    ListEventsRequest => ListEvents;
    SendTestRequest => EndpointRef;
    ListDeliveriesRequest => ListDeliveries;
    GetDeliveryRequest => DeliveryRef;
    GetAttemptRequest => AttemptRef;
    ListAttemptsRequest => ListAttempts;
    RetryDeliveryRequest => DeliveryRef;
    CancelDeliveryRequest => DeliveryRef;
    WatchDeliveriesRequest => WatchDeliveries;
    GetEndpointStatsRequest => GetEndpointStats;
    GetHealthSummaryRequest => GetHealthSummary;
    CreateReplayRequest => CreateReplay;
    GetReplayRequest => ReplayRef;
    ListReplaysRequest => ListReplays;
    CancelReplayRequest => ReplayRef;
    WatchReplayRequest => ReplayRef;
    CreateKeyRequest => CreateKey, |request| {
        check_key_expiration(request.expiration, None, Timestamp::now()).map(|_| ()).map_err(|one| vec![one])
    };
    ListKeysRequest => ListKeys;
    RevokeKeyRequest => RevokeKey;
    WhoAmIRequest => EmptyRequest;
    CreateSessionRequest => CreateSession, |request| {
        check_session_expiration(request.expiration, Timestamp::now()).map(|_| ()).map_err(|one| vec![one])
    };
    EndSessionRequest => EmptyRequest;
    CreateChannelRequest => CreateChannel;
    GetChannelRequest => ChannelRef;
    ListChannelsRequest => ListChannels;
    UpdateChannelRequest => UpdateChannel;
    DeleteChannelRequest => DeleteChannel;
    TestChannelRequest => ChannelRef;
    ListNotificationsRequest => ListNotifications;
    ListAuditEntriesRequest => ListAuditEntries;
};
