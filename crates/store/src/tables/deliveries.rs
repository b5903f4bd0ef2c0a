//! `deliveries`: an event for an endpoint, and its state.

use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::trace::{TraceContext, TraceState};

use super::{Cell, Entity, StoredRow, Table};
use crate::error::StoreError;

type Column = super::Column<Delivery>;

fn traceparent(trace: Option<&TraceContext>) -> Cell<'static> {
    trace.map(Cell::shown).into()
}

fn state_of(trace: &Option<TraceContext>) -> Option<&TraceState> {
    trace.as_ref()?.state.as_ref()
}

impl Entity for Delivery {
    const TABLE: Table<Delivery> = Table {
        name: "deliveries",
        columns: &[
            Column::text("organization_id", |row| row.organization_id.as_str().into()).key(),
            Column::text("delivery_id", |row| Cell::shown(row.id)).key(),
            Column::text("event_id", |row| Cell::shown(row.event_id)).kept(),
            Column::text("event_type", |row| row.event_type.name().into()).kept(),
            Column::boolean("is_test", |row| row.is_test.into()).kept(),
            Column::integer("event_time", |row| row.event_time.into()).kept(),
            Column::text("endpoint_id", |row| Cell::shown(row.endpoint_id)).kept(),
            Column::text("state", |row| row.state.name().into()),
            Column::small("attempt_count", |row| row.attempt_count.into()),
            Column::small("automatic_count", |row| row.automatic_count.into()),
            Column::integer("next_attempt_time", |row| row.next_attempt_time.into()),
            Column::integer("steady_due_time", |row| row.steady_due_time.into()),
            Column::integer("retry_request_time", |row| row.retry_request_time.into()),
            Column::integer("due_time", |row| row.due_time().into()).for_searching(),
            Column::text("retry_traceparent", |row| {
                traceparent(row.retry_request_trace.as_deref())
            }),
            Column::text("replay_traceparent", |row| {
                traceparent(row.replay_request_trace.as_deref())
            }),
            Column::text("traceparent", |row| traceparent(row.trace.as_ref())).kept(),
            Column::text("tracestate", |row| state_of(&row.trace).map(TraceState::as_str).into())
                .kept(),
            Column::integer("create_time", |row| row.create_time.into()).kept(),
            // Named after the first kind of end reason that it held.
            Column::text("cancel_reason", |row| row.end_reason.as_str().into()),
            Column::integer("version", |row| row.version.into()),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<Delivery, StoreError> {
        let trace: Option<TraceContext> = row.optional_parsed("traceparent")?;
        let state = row.optional_parsed("tracestate")?;
        Ok(Delivery {
            id: row.parsed("delivery_id")?,
            organization_id: row.parsed("organization_id")?,
            event_id: row.parsed("event_id")?,
            event_type: row.parsed("event_type")?,
            is_test: row.boolean("is_test")?,
            event_time: row.optional_time("event_time")?,
            endpoint_id: row.parsed("endpoint_id")?,
            state: row.word("state")?,
            attempt_count: row.small_number("attempt_count")?,
            automatic_count: row.small_number("automatic_count")?,
            next_attempt_time: row.optional_time("next_attempt_time")?,
            steady_due_time: row.optional_time("steady_due_time")?,
            retry_request_time: row.optional_time("retry_request_time")?,
            retry_request_trace: row.optional_parsed("retry_traceparent")?.map(Box::new),
            replay_request_trace: row.optional_parsed("replay_traceparent")?.map(Box::new),
            trace: trace.map(|trace| trace.with_state(state)),
            create_time: row.time("create_time")?,
            end_reason: row.text("cancel_reason")?,
            version: row.version()?,
        })
    }
}
