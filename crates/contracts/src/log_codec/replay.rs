//! Encodes and decodes facts about replays.

use keeptrusts_webhooks_domain::log::Position;
use keeptrusts_webhooks_domain::replay::{
    NewReplay, ReplayBound, ReplayCounts, ReplayFact, ReplayScope, ReplaySelection, ReplayStep,
};

use super::error::DecodeError;
use super::values::{all_parsed, count, optional_timestamp, parsed, unsigned, wrong};
use crate::log::v1 as pb;
use crate::log::v1::record_data::Fact as Message;
use crate::time::timestamp_to_proto;

impl From<&ReplayFact> for Message {
    fn from(fact: &ReplayFact) -> Self {
        match fact {
            ReplayFact::Requested(new) => Message::ReplayRequested(new.into()),
            ReplayFact::Advanced(ReplayStep { cursor, counts }) => {
                Message::ReplayAdvanced(pb::ReplayAdvanced {
                    cursor: cursor.to_string(),
                    scheduled: long(counts.scheduled),
                    resumed: long(counts.resumed),
                    skipped: long(counts.skipped),
                    expired: long(counts.expired),
                })
            }
            ReplayFact::Ended { reason } => {
                Message::ReplayEnded(pb::ReplayEnded { reason: reason.clone() })
            }
            ReplayFact::Cancelled { endpoint_id } => {
                let endpoint_id = endpoint_id.to_string();
                Message::ReplayCancelled(pb::ReplayCancelled { endpoint_id })
            }
        }
    }
}

pub(super) fn decode(message: Message) -> Result<ReplayFact, DecodeError> {
    Ok(match message {
        Message::ReplayRequested(requested) => ReplayFact::Requested(requested.try_into()?),
        Message::ReplayAdvanced(advanced) => ReplayFact::Advanced(ReplayStep {
            cursor: parsed("cursor", &advanced.cursor)?,
            counts: ReplayCounts {
                scheduled: unsigned("scheduled", advanced.scheduled)?,
                resumed: unsigned("resumed", advanced.resumed)?,
                skipped: unsigned("skipped", advanced.skipped)?,
                expired: unsigned("expired", advanced.expired)?,
            },
        }),
        Message::ReplayEnded(ended) => ReplayFact::Ended { reason: ended.reason },
        Message::ReplayCancelled(cancelled) => {
            ReplayFact::Cancelled { endpoint_id: parsed("endpoint_id", &cancelled.endpoint_id)? }
        }
        _ => return Err(DecodeError::WrongStream),
    })
}

impl From<&NewReplay> for pb::ReplayRequested {
    fn from(new: &NewReplay) -> Self {
        let selection = &new.selection;
        let names = selection.event_types.iter().map(|event_type| event_type.name().to_owned());
        pb::ReplayRequested {
            endpoint_id: selection.endpoint_id.to_string(),
            scope: pb::ReplayScope::from(selection.scope).into(),
            start_time: selection.start_time.map(timestamp_to_proto),
            end_time: selection.end_time.map(timestamp_to_proto),
            start_event: selection.start_event.map(Into::into),
            end_event: selection.end_event.map(Into::into),
            event_types: names.collect(),
            include_delivered: selection.include_delivered,
            deliveries_per_second: count(new.deliveries_per_second),
            matched_count: long(new.matched_count),
            may_match_more: new.may_match_more,
        }
    }
}

impl TryFrom<pb::ReplayRequested> for NewReplay {
    type Error = DecodeError;

    fn try_from(requested: pb::ReplayRequested) -> Result<Self, DecodeError> {
        Ok(NewReplay {
            selection: ReplaySelection {
                endpoint_id: parsed("endpoint_id", &requested.endpoint_id)?,
                scope: scope(requested.scope())?,
                start_time: optional_timestamp("start_time", requested.start_time)?,
                end_time: optional_timestamp("end_time", requested.end_time)?,
                start_event: bound("start_event", requested.start_event)?,
                end_event: bound("end_event", requested.end_event)?,
                event_types: all_parsed("event_types", &requested.event_types)?,
                include_delivered: requested.include_delivered,
            },
            deliveries_per_second: unsigned(
                "deliveries_per_second",
                requested.deliveries_per_second,
            )?,
            matched_count: unsigned("matched_count", requested.matched_count)?,
            may_match_more: requested.may_match_more,
        })
    }
}

impl From<ReplayBound> for pb::ReplayBound {
    fn from(bound: ReplayBound) -> Self {
        pb::ReplayBound { event_id: bound.event_id.to_string(), position: bound.position.0 }
    }
}

fn bound(
    field: &'static str,
    bound: Option<pb::ReplayBound>,
) -> Result<Option<ReplayBound>, DecodeError> {
    let Some(pb::ReplayBound { event_id, position }) = bound else { return Ok(None) };
    Ok(Some(ReplayBound { event_id: parsed(field, &event_id)?, position: Position(position) }))
}

impl From<ReplayScope> for pb::ReplayScope {
    fn from(scope: ReplayScope) -> Self {
        match scope {
            ReplayScope::Missed => pb::ReplayScope::Missed,
            ReplayScope::Failed => pb::ReplayScope::Failed,
            ReplayScope::All => pb::ReplayScope::All,
        }
    }
}

fn scope(scope: pb::ReplayScope) -> Result<ReplayScope, DecodeError> {
    match scope {
        pb::ReplayScope::Missed => Ok(ReplayScope::Missed),
        pb::ReplayScope::Failed => Ok(ReplayScope::Failed),
        pb::ReplayScope::All => Ok(ReplayScope::All),
        pb::ReplayScope::Unspecified => Err(wrong("scope", "is none that is known")),
    }
}

/// Counts stay far below 2⁶³.
fn long(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
