//! Endpoints and event types in responses.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::endpoint::{
    EffectiveEndpointState, Endpoint, FailureStreak, StateCause,
};
use keeptrusts_webhooks_domain::endpoint_config::EndpointPatch;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::pause::Pause;
use keeptrusts_webhooks_domain::payload_format::{PayloadFormat, PayloadKind};

use crate::time::timestamp_to_proto;
use crate::v1;

impl v1::Endpoint {
    /// An endpoint as it is shown at `now`, with its current run of failures and its last pause, which
    /// are not stored with it.
    pub fn of(
        endpoint: &Endpoint,
        failing: Option<&FailureStreak>,
        pause: Option<&Pause>,
        now: Timestamp,
    ) -> Self {
        let streak = failing.filter(|streak| streak.is_failing(now));
        let state = endpoint.state.effective(streak.is_some());
        // That an endpoint is failing is nowhere stored.
        let (state_reason, state_time, state_delivery) = match (state, streak) {
            (EffectiveEndpointState::Failing, Some(streak)) => {
                (streak.reason(), streak.since, Some(streak.delivery_id))
            }
            _ => (endpoint.state_reason.clone(), endpoint.state_time, endpoint.state_delivery),
        };
        let previous_secret_expire_time =
            endpoint.previous_secret.as_ref().map(|secret| timestamp_to_proto(secret.expire_time));
        v1::Endpoint {
            id: endpoint.id.to_string(),
            organization_id: endpoint.organization_id.to_string(),
            state: v1::endpoint::State::from(state).into(),
            state_reason,
            etag: endpoint.etag(),
            create_time: Some(timestamp_to_proto(endpoint.create_time)),
            update_time: Some(timestamp_to_proto(endpoint.update_time)),
            previous_secret_expire_time,
            state_time: Some(timestamp_to_proto(state_time)),
            state_cause: endpoint
                .state_cause
                .map(|cause| v1::endpoint::StateCause::from(cause).into()),
            state_delivery_id: state_delivery.map(|id| id.to_string()).unwrap_or_default(),
            failing_since_time: failing.map(|streak| timestamp_to_proto(streak.since)),
            pause: pause.and_then(|pause| v1::EndpointPause::of(pause, now)),
            ..endpoint_configuration(endpoint.config.clone().into())
        }
    }
}

/// An endpoint with the fields that the patch sets, without secrets.
pub(super) fn endpoint_configuration<K>(patch: EndpointPatch<PayloadFormat<K>>) -> v1::Endpoint {
    let EndpointPatch { display_name, url, description, event_types, payload_format } = patch;
    let names = event_types.iter().flatten().map(|event_type| event_type.name().to_owned());
    let format = payload_format.as_ref();
    let kind = format.map(|format| v1::PayloadFormat::from(format.kind()));
    let template = format.and_then(PayloadFormat::template);
    v1::Endpoint {
        display_name: display_name.unwrap_or_default(),
        url: url.unwrap_or_default(),
        description: description.unwrap_or_default(),
        event_types: names.collect(),
        payload_format: kind.unwrap_or_default().into(),
        payload_template: template.unwrap_or_default().to_owned(),
        has_routing_key: format.and_then(PayloadFormat::routing_key).is_some(),
        ..v1::Endpoint::default()
    }
}

impl v1::EndpointPause {
    /// A pause as it is shown at `now`. None: the pause is over.
    pub fn of(pause: &Pause, now: Timestamp) -> Option<Self> {
        // No longer than the receiver asked for, even if the clock has been set since.
        let end_time = now.checked_add(pause.remaining(now)?).unwrap_or(Timestamp::MAX);
        Some(v1::EndpointPause {
            start_time: Some(timestamp_to_proto(pause.start_time)),
            end_time: Some(timestamp_to_proto(end_time)),
            delivery_id: pause.delivery_id.to_string(),
            status_code: pause.status_code.into(),
        })
    }
}

impl From<StateCause> for v1::endpoint::StateCause {
    fn from(cause: StateCause) -> Self {
        match cause {
            StateCause::Requested => v1::endpoint::StateCause::Requested,
            StateCause::Exhausted => v1::endpoint::StateCause::Exhausted,
            StateCause::FailedTooLong => v1::endpoint::StateCause::FailedTooLong,
            StateCause::Gone => v1::endpoint::StateCause::Gone,
        }
    }
}

impl From<EffectiveEndpointState> for v1::endpoint::State {
    fn from(state: EffectiveEndpointState) -> Self {
        match state {
            EffectiveEndpointState::Active => v1::endpoint::State::Active,
            EffectiveEndpointState::Failing => v1::endpoint::State::Failing,
            EffectiveEndpointState::Degraded => v1::endpoint::State::Degraded,
            EffectiveEndpointState::Disabled => v1::endpoint::State::Disabled,
        }
    }
}

/// None: unspecified.
impl From<v1::endpoint::State> for Option<EffectiveEndpointState> {
    fn from(state: v1::endpoint::State) -> Self {
        match state {
            v1::endpoint::State::Unspecified => None,
            v1::endpoint::State::Active => Some(EffectiveEndpointState::Active),
            v1::endpoint::State::Failing => Some(EffectiveEndpointState::Failing),
            v1::endpoint::State::Degraded => Some(EffectiveEndpointState::Degraded),
            v1::endpoint::State::Disabled => Some(EffectiveEndpointState::Disabled),
        }
    }
}

impl From<PayloadKind> for v1::PayloadFormat {
    fn from(kind: PayloadKind) -> Self {
        match kind {
            PayloadKind::Keeptrusts => v1::PayloadFormat::Keeptrusts,
            PayloadKind::Slack => v1::PayloadFormat::Slack,
            PayloadKind::Teams => v1::PayloadFormat::Teams,
            PayloadKind::PagerDuty => v1::PayloadFormat::Pagerduty,
            PayloadKind::CloudEvents => v1::PayloadFormat::Cloudevents,
            PayloadKind::Custom => v1::PayloadFormat::Custom,
        }
    }
}

/// None: unspecified.
impl From<v1::PayloadFormat> for Option<PayloadKind> {
    fn from(format: v1::PayloadFormat) -> Self {
        match format {
            v1::PayloadFormat::Unspecified => None,
            v1::PayloadFormat::Keeptrusts => Some(PayloadKind::Keeptrusts),
            v1::PayloadFormat::Slack => Some(PayloadKind::Slack),
            v1::PayloadFormat::Teams => Some(PayloadKind::Teams),
            v1::PayloadFormat::Pagerduty => Some(PayloadKind::PagerDuty),
            v1::PayloadFormat::Cloudevents => Some(PayloadKind::CloudEvents),
            v1::PayloadFormat::Custom => Some(PayloadKind::Custom),
        }
    }
}

/// An event type without its sample, which the service adds.
impl From<EventType> for v1::EventType {
    fn from(event_type: EventType) -> Self {
        v1::EventType {
            id: event_type.name().to_owned(),
            category: event_type.category().to_owned(),
            description: event_type.description().to_owned(),
            sample_data_json: String::new(),
        }
    }
}
