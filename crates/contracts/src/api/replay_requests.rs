//! The checked requests of DispatchService about replays.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::endpoint_config::check_event_types;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::{EndpointId, EventId, OrganizationId, ReplayId};
use keeptrusts_webhooks_domain::limits::{DEFAULT_REPLAY_RATE, MAX_REPLAY_RATE};
use keeptrusts_webhooks_domain::replay::{ReplayScope, ReplayState};
use keeptrusts_webhooks_domain::violation::Violation;

use super::fields::{enums, id, ids, interval, optional_enum, optional_id};
use super::{Page, Violations};
use crate::v1;

/// CreateReplay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateReplay {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The endpoint to send to.
    pub endpoint_id: EndpointId,
    /// Which events.
    pub scope: ReplayScope,
    /// Only what happened then or later.
    pub start_time: Option<Timestamp>,
    /// Only what happened before. None: now.
    pub end_time: Option<Timestamp>,
    /// Only this event and later ones.
    pub start_event_id: Option<EventId>,
    /// Only this event and earlier ones.
    pub end_event_id: Option<EventId>,
    /// Only these types. Sorted, without repetitions; empty: every type.
    pub event_types: Vec<EventType>,
    /// Whether delivered events are sent again.
    pub include_delivered: bool,
    /// The most deliveries in a second: 1 to 5,000.
    pub deliveries_per_second: u32,
    /// Whether the replay is only counted, not started.
    pub validate_only: bool,
}

impl TryFrom<v1::CreateReplayRequest> for CreateReplay {
    type Error = Violations;

    fn try_from(request: v1::CreateReplayRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let replay = request.replay.unwrap_or_default();
        let endpoint_id = violations.check(id("replay.endpoint_id", &replay.endpoint_id));
        let scope = violations.check(scope(replay.scope));
        let interval =
            violations.check_all(interval("replay.", replay.start_time, replay.end_time));
        let start_event_id =
            violations.check(optional_id("replay.start_event_id", &replay.start_event_id));
        let end_event_id =
            violations.check(optional_id("replay.end_event_id", &replay.end_event_id));
        let event_types = violations.check_all(event_types(&replay.event_types));
        let rate = violations.check(rate(replay.deliveries_per_second));
        if replay.include_delivered && !matches!(scope, Some(ReplayScope::All) | None) {
            let description = "is only for SCOPE_ALL: the others are about what was not delivered";
            violations
                .check::<()>(Err(Violation::not_allowed("replay.include_delivered", description)));
            return Err(violations);
        }
        match (
            (organization_id, endpoint_id, scope, interval),
            (start_event_id, end_event_id, event_types, rate),
        ) {
            (
                (Some(organization_id), Some(endpoint_id), Some(scope), Some(interval)),
                (
                    Some(start_event_id),
                    Some(end_event_id),
                    Some(event_types),
                    Some(deliveries_per_second),
                ),
            ) => Ok(CreateReplay {
                organization_id,
                endpoint_id,
                scope,
                start_time: interval.0,
                end_time: interval.1,
                start_event_id,
                end_event_id,
                event_types,
                include_delivered: replay.include_delivered,
                deliveries_per_second,
                validate_only: request.validate_only,
            }),
            _ => Err(violations),
        }
    }
}

fn scope(number: i32) -> Result<ReplayScope, Violation> {
    let scope = optional_enum::<v1::replay::Scope, _>("replay.scope", number)?;
    scope.ok_or_else(|| {
        Violation::required("replay.scope", "is required: SCOPE_MISSED, SCOPE_FAILED or SCOPE_ALL")
    })
}

/// An empty list means every type, unlike in a subscription.
fn event_types(names: &[String]) -> Result<Vec<EventType>, Vec<Violation>> {
    if names.is_empty() { Ok(Vec::new()) } else { check_event_types("replay.event_types", names) }
}

fn rate(deliveries_per_second: i32) -> Result<u32, Violation> {
    match u32::try_from(deliveries_per_second) {
        Ok(0) => Ok(DEFAULT_REPLAY_RATE),
        Ok(rate) if rate <= MAX_REPLAY_RATE => Ok(rate),
        _ => {
            let description = "must be from 1 to 5,000; 0 means 100";
            Err(Violation::out_of_range("replay.deliveries_per_second", description))
        }
    }
}

/// One replay of an organization: the request of GetReplay, CancelReplay and WatchReplay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayRef {
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// The replay.
    pub replay_id: ReplayId,
}

macro_rules! only_the_replay {
    ($($request:ident),*) => {
        $(impl TryFrom<v1::$request> for ReplayRef {
            type Error = Violations;

            fn try_from(request: v1::$request) -> Result<Self, Violations> {
                let mut violations = Violations::default();
                let organization_id = violations.check(request.organization_id.parse());
                let replay_id = violations.check(id("replay_id", &request.replay_id));
                match (organization_id, replay_id) {
                    (Some(organization_id), Some(replay_id)) => {
                        Ok(ReplayRef { organization_id, replay_id })
                    }
                    _ => Err(violations),
                }
            }
        })*
    };
}

only_the_replay!(GetReplayRequest, CancelReplayRequest, WatchReplayRequest);

/// ListReplays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListReplays {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The part of the list.
    pub page: Page<ReplayId>,
    /// Only for one of these endpoints. Empty: all.
    pub endpoint_ids: Vec<EndpointId>,
    /// Only in one of these states. Empty: all.
    pub states: Vec<ReplayState>,
}

impl TryFrom<v1::ListReplaysRequest> for ListReplays {
    type Error = Violations;

    fn try_from(request: v1::ListReplaysRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let page = violations.check_all(Page::of(&request, ReplayId::MAX));
        let endpoint_ids = violations.check_all(ids("endpoint_ids", &request.endpoint_ids));
        let states = violations.check_all(enums::<v1::replay::State, _>("states", &request.states));
        match (organization_id, page, endpoint_ids, states) {
            (Some(organization_id), Some(page), Some(endpoint_ids), Some(states)) => {
                Ok(ListReplays { organization_id, page, endpoint_ids, states })
            }
            _ => Err(violations),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> v1::Replay {
        v1::Replay {
            endpoint_id: EndpointId::MIN.to_string(),
            scope: v1::replay::Scope::All.into(),
            ..v1::Replay::default()
        }
    }

    fn checked(replay: v1::Replay) -> Result<CreateReplay, Violations> {
        let organization_id = "acme".to_owned();
        let replay = Some(replay);
        v1::CreateReplayRequest {
            organization_id,
            replay,
            validate_only: false,
            ..Default::default()
        }
        .try_into()
    }

    fn wrong(replay: v1::Replay) -> Vec<String> {
        let violations = checked(replay).expect_err("it is wrong").into_vec();
        violations.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let replay = checked(request()).expect("it is right");
        assert_eq!((replay.deliveries_per_second, replay.end_time), (100, None));
        assert!(replay.event_types.is_empty() && !replay.validate_only);
    }

    #[test]
    fn every_wrong_field_is_named() {
        let all_wrong = v1::Replay {
            scope: 9,
            start_event_id: "evt_1".to_owned(),
            end_event_id: "dlv_1".to_owned(),
            event_types: vec!["policy.block".to_owned(), "webhook.test".to_owned()],
            deliveries_per_second: 5_001,
            ..v1::Replay::default()
        };
        assert_eq!(
            wrong(all_wrong),
            [
                "replay.endpoint_id",
                "replay.scope",
                "replay.start_event_id",
                "replay.end_event_id",
                "replay.event_types[1]",
                "replay.deliveries_per_second"
            ]
        );
        let nothing = CreateReplay::try_from(v1::CreateReplayRequest::default());
        let fields = nothing.expect_err("everything is missing").into_vec();
        let fields: Vec<_> = fields.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["organization_id", "replay.endpoint_id", "replay.scope"]);
        let duplicates_of_failures = v1::Replay {
            scope: v1::replay::Scope::Failed.into(),
            include_delivered: true,
            ..request()
        };
        assert_eq!(wrong(duplicates_of_failures), ["replay.include_delivered"]);
    }
}
