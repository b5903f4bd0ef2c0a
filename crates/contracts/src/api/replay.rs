//! Replays in responses.

use keeptrusts_webhooks_domain::replay::{
    NewReplay, Replay, ReplayBound, ReplayCounts, ReplayScope, ReplayState,
};

use crate::time::timestamp_to_proto;
use crate::v1;

impl From<&Replay> for v1::Replay {
    fn from(replay: &Replay) -> Self {
        v1::Replay {
            id: replay.id.to_string(),
            state: Some(v1::replay::State::from(replay.state).into()),
            create_time: Some(timestamp_to_proto(replay.create_time)),
            finish_time: replay.finish_time.map(timestamp_to_proto),
            end_reason: replay.end_reason.clone(),
            creator: replay.creator.clone(),
            organization_id: replay.organization_id.to_string(),
            ..replay_preview(&replay.request, &replay.counts)
        }
    }
}

/// A replay that was only counted, not started (`validate_only`).
pub fn replay_preview(request: &NewReplay, counts: &ReplayCounts) -> v1::Replay {
    let selection = &request.selection;
    let event_id = |bound: Option<ReplayBound>| {
        bound.map(|bound| bound.event_id.to_string()).unwrap_or_default()
    };
    let names = selection.event_types.iter().map(|event_type| event_type.name().to_owned());
    v1::Replay {
        endpoint_id: selection.endpoint_id.to_string(),
        scope: v1::replay::Scope::from(selection.scope).into(),
        start_time: selection.start_time.map(timestamp_to_proto),
        end_time: selection.end_time.map(timestamp_to_proto),
        start_event_id: event_id(selection.start_event),
        end_event_id: event_id(selection.end_event),
        event_types: names.collect(),
        include_delivered: selection.include_delivered,
        deliveries_per_second: i32::try_from(request.deliveries_per_second).unwrap_or(i32::MAX),
        matched_count: count(request.matched_count),
        may_match_more: request.may_match_more,
        scheduled_count: count(counts.scheduled),
        resumed_count: count(counts.resumed),
        skipped_count: count(counts.skipped),
        expired_count: count(counts.expired),
        ..v1::Replay::default()
    }
}

/// Counts stay far below 2⁶³.
fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl From<ReplayScope> for v1::replay::Scope {
    fn from(scope: ReplayScope) -> Self {
        match scope {
            ReplayScope::Missed => v1::replay::Scope::Missed,
            ReplayScope::Failed => v1::replay::Scope::Failed,
            ReplayScope::All => v1::replay::Scope::All,
        }
    }
}

/// None: unspecified.
impl From<v1::replay::Scope> for Option<ReplayScope> {
    fn from(scope: v1::replay::Scope) -> Self {
        match scope {
            v1::replay::Scope::Unspecified => None,
            v1::replay::Scope::Missed => Some(ReplayScope::Missed),
            v1::replay::Scope::Failed => Some(ReplayScope::Failed),
            v1::replay::Scope::All => Some(ReplayScope::All),
        }
    }
}

impl From<ReplayState> for v1::replay::State {
    fn from(state: ReplayState) -> Self {
        match state {
            ReplayState::Running => v1::replay::State::Running,
            ReplayState::Done => v1::replay::State::Done,
            ReplayState::Cancelled => v1::replay::State::Cancelled,
        }
    }
}

/// None: unspecified.
impl From<v1::replay::State> for Option<ReplayState> {
    fn from(state: v1::replay::State) -> Self {
        match state {
            v1::replay::State::Unspecified => None,
            v1::replay::State::Running => Some(ReplayState::Running),
            v1::replay::State::Done => Some(ReplayState::Done),
            v1::replay::State::Cancelled => Some(ReplayState::Cancelled),
        }
    }
}
