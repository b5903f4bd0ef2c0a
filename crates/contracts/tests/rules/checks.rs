//! The conversions of all requests, and what they find wrong.

use keeptrusts_webhooks_contracts::api::{
    ChannelRef, CreateChannel, CreateEndpoint, CreateKey, CreateReplay, CreateSession,
    DeleteChannel, DeleteEndpoint, DeliveryRef, DisableEndpoint, EmptyRequest, EndpointRef,
    GetAttempt, GetDelivery, GetEndpointStats, GetEvent, GetHealthSummary, KeyRef, ListAttempts,
    ListAuditEntries, ListChannels, ListDeliveries, ListEndpoints, ListEventTypes, ListEvents,
    ListKeys, ListNotifications, ListReplays, NotificationRef, PreviewPayload, Publish,
    PublishBatch, ReplayRef, RevokeKey, RotateSecret, SendTest, UpdateChannel, UpdateEndpoint,
    Violations, WatchDeliveries, WatchEvents,
};
use keeptrusts_webhooks_contracts::{v1, wire};
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::key::{check_key_expiration, check_session_expiration};
use keeptrusts_webhooks_domain::payload_format::{PayloadFields, PayloadFormat};
use keeptrusts_webhooks_domain::request::RequestId;
use keeptrusts_webhooks_domain::violation::Violation;
use prost::Message;

pub(crate) const PACKAGE: &str = "keeptrusts.webhooks.v1";

/// Requests that no conversion reads whole: the service reads the items of a stream one by one, and each
/// has the checks of PublishEventRequest.
pub(crate) const WITHOUT_CONVERSION: &[&str] = &["StreamEventsRequest"];

/// A request's conversion.
pub(crate) struct Check {
    pub(crate) request: &'static str,
    /// The violations of a request with these bytes.
    pub(crate) check: fn(&[u8]) -> Vec<Violation>,
}

/// Checks a request as a server does: its bytes, then the message, then what handlers check.
fn found<M, T>(
    name: &str,
    bytes: &[u8],
    request_id: impl FnOnce(&M) -> Option<Violation>,
    then: impl FnOnce(T) -> Result<(), Vec<Violation>>,
) -> Vec<Violation>
where
    M: Message + Default,
    T: TryFrom<M, Error = Violations>,
{
    if let Err(violation) = wire::examine(&format!("{PACKAGE}.{name}"), bytes) {
        return vec![violation];
    }
    let message = M::decode(bytes).expect("a message");
    // As AuthorizedRequest::of_identified takes it out first.
    let wrong_id = request_id(&message);
    let violations = match T::try_from(message) {
        Ok(request) => then(request).err().unwrap_or_default(),
        Err(violations) => violations.into_vec(),
    };
    violations.into_iter().chain(wrong_id).collect()
}

macro_rules! checks {
    ($($request:ident $(($id:ident))? => $checked:ty $(, $then:expr)?;)*) => {
        &[$(Check {
            request: stringify!($request),
            check: |bytes| {
                found::<v1::$request, $checked>(
                    stringify!($request),
                    bytes,
                    checks!(@id $($id)?),
                    checks!(@then $($then)?),
                )
            },
        }),*]
    };
    (@id) => { |_| None };
    (@id $id:ident) => { |message| RequestId::optional(message.$id.clone()).err() };
    (@then) => { |_| Ok(()) };
    (@then $then:expr) => { $then };
}

pub(crate) const CHECKS: &[Check] = checks! {
    CreateEndpointRequest (request_id) => CreateEndpoint;
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
    RotateSecretRequest (request_id) => RotateSecret;
    RevealSecretRequest => EndpointRef;
    PreviewPayloadRequest => PreviewPayload;
    ListEventTypesRequest => ListEventTypes;
    PublishEventRequest => Publish;
    BatchPublishEventsRequest => PublishBatch;
    GetEventRequest => GetEvent;
    ListEventsRequest => ListEvents;
    SendTestRequest (request_id) => SendTest;
    ListDeliveriesRequest => ListDeliveries;
    GetDeliveryRequest => GetDelivery;
    GetAttemptRequest => GetAttempt;
    ListAttemptsRequest => ListAttempts;
    RetryDeliveryRequest (request_id) => DeliveryRef;
    CancelDeliveryRequest => DeliveryRef;
    WatchEventsRequest => WatchEvents;
    WatchDeliveriesRequest => WatchDeliveries;
    GetEndpointStatsRequest => GetEndpointStats;
    GetHealthSummaryRequest => GetHealthSummary;
    CreateReplayRequest (request_id) => CreateReplay;
    GetReplayRequest => ReplayRef;
    ListReplaysRequest => ListReplays;
    CancelReplayRequest => ReplayRef;
    WatchReplayRequest => ReplayRef;
    CreateKeyRequest (request_id) => CreateKey, |request| {
        check_key_expiration(request.expiration, None, Timestamp::now()).map(|_| ()).map_err(|one| vec![one])
    };
    GetKeyRequest => KeyRef;
    ListKeysRequest => ListKeys;
    RevokeKeyRequest => RevokeKey;
    WhoAmIRequest => EmptyRequest;
    CreateSessionRequest (request_id) => CreateSession, |request| {
        check_session_expiration(request.expiration, Timestamp::now()).map(|_| ()).map_err(|one| vec![one])
    };
    EndSessionRequest => EmptyRequest;
    CreateChannelRequest (request_id) => CreateChannel;
    GetChannelRequest => ChannelRef;
    ListChannelsRequest => ListChannels;
    UpdateChannelRequest => UpdateChannel;
    DeleteChannelRequest => DeleteChannel;
    TestChannelRequest (request_id) => ChannelRef;
    GetNotificationRequest => NotificationRef;
    ListNotificationsRequest => ListNotifications;
    ListAuditEntriesRequest => ListAuditEntries;
};
