//! `replays`: what was asked for, and how far it has come.

use keeptrusts_webhooks_domain::replay::{
    NewReplay, Replay, ReplayBound, ReplayCounts, ReplaySelection,
};

use super::{Cell, Entity, StoredRow, Table};
use crate::error::StoreError;

type Column = super::Column<Replay>;

fn event(bound: Option<ReplayBound>) -> Cell<'static> {
    bound.map(|bound| Cell::shown(bound.event_id)).into()
}

fn position(bound: Option<ReplayBound>) -> Cell<'static> {
    bound.map(|bound| bound.position).into()
}

impl Entity for Replay {
    const TABLE: Table<Replay> = Table {
        name: "replays",
        columns: &[
            Column::text("organization_id", |row| row.organization_id.as_str().into()).key(),
            Column::text("replay_id", |row| Cell::shown(row.id)).key(),
            Column::text("endpoint_id", |row| Cell::shown(row.request.selection.endpoint_id))
                .kept(),
            Column::text("scope", |row| row.request.selection.scope.name().into()).kept(),
            Column::integer("start_time", |row| row.request.selection.start_time.into()).kept(),
            Column::integer("end_time", |row| row.request.selection.end_time.into()).kept(),
            Column::text("start_event_id", |row| event(row.request.selection.start_event)).kept(),
            Column::integer("start_position", |row| position(row.request.selection.start_event))
                .kept(),
            Column::text("end_event_id", |row| event(row.request.selection.end_event)).kept(),
            Column::integer("end_position", |row| position(row.request.selection.end_event)).kept(),
            Column::text("event_types", |row| {
                let event_types = row.request.selection.event_types.iter();
                Cell::shown_all(event_types.map(|event_type| event_type.name()))
            })
            .kept(),
            Column::boolean("include_delivered", |row| {
                row.request.selection.include_delivered.into()
            })
            .kept(),
            Column::small("deliveries_per_second", |row| row.request.deliveries_per_second.into())
                .kept(),
            Column::integer("matched_count", |row| row.request.matched_count.into()).kept(),
            Column::boolean("may_match_more", |row| row.request.may_match_more.into()).kept(),
            Column::text("state", |row| row.state.name().into()),
            Column::integer("scheduled_count", |row| row.counts.scheduled.into()),
            Column::integer("resumed_count", |row| row.counts.resumed.into()),
            Column::integer("skipped_count", |row| row.counts.skipped.into()),
            Column::integer("expired_count", |row| row.counts.expired.into()),
            Column::text("cursor", |row| Cell::shown(row.cursor)),
            Column::integer("position", |row| row.position.into()).kept(),
            Column::text("creator", |row| row.creator.as_str().into()).kept(),
            Column::integer("create_time", |row| row.create_time.into()).kept(),
            Column::integer("finish_time", |row| row.finish_time.into()),
            Column::text("end_reason", |row| row.end_reason.as_str().into()),
            Column::integer("version", |row| row.version.into()),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<Replay, StoreError> {
        let bound = |event_id, position| -> Result<_, StoreError> {
            let Some(event_id) = row.optional_parsed(event_id)? else { return Ok(None) };
            Ok(Some(ReplayBound { event_id, position: row.position(position)? }))
        };
        Ok(Replay {
            id: row.parsed("replay_id")?,
            organization_id: row.parsed("organization_id")?,
            request: NewReplay {
                selection: ReplaySelection {
                    endpoint_id: row.parsed("endpoint_id")?,
                    scope: row.word("scope")?,
                    start_time: row.optional_time("start_time")?,
                    end_time: row.optional_time("end_time")?,
                    start_event: bound("start_event_id", "start_position")?,
                    end_event: bound("end_event_id", "end_position")?,
                    event_types: row.list("event_types")?,
                    include_delivered: row.boolean("include_delivered")?,
                },
                deliveries_per_second: row.small_number("deliveries_per_second")?,
                matched_count: row.number("matched_count")?,
                may_match_more: row.boolean("may_match_more")?,
            },
            state: row.word("state")?,
            counts: ReplayCounts {
                scheduled: row.number("scheduled_count")?,
                resumed: row.number("resumed_count")?,
                skipped: row.number("skipped_count")?,
                expired: row.number("expired_count")?,
            },
            cursor: row.parsed("cursor")?,
            position: row.position("position")?,
            creator: row.text("creator")?,
            create_time: row.time("create_time")?,
            finish_time: row.optional_time("finish_time")?,
            end_reason: row.text("end_reason")?,
            version: row.version()?,
        })
    }
}
