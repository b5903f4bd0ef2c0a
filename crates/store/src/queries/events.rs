//! Queries of events.

use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::ids::{EndpointId, EventId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, Shard};

use super::filters::EventFilter;
use super::list_page::ListPage;
use super::selection::Selection;
use super::walk::{self, List};
use crate::error::StoreError;
use crate::log::projection::MissedEvent;
use crate::store::Store;
use crate::tables::{Cell, with_owner};

impl dyn Store + '_ {
    pub async fn event(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: EventId,
    ) -> Result<Option<Event>, StoreError> {
        self.row(shard, (organization.clone(), id)).await
    }

    /// Events by id, as far as they exist.
    pub async fn events(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        ids: &[EventId],
    ) -> Result<Vec<Event>, StoreError> {
        self.rows(shard, &with_owner(organization, ids)).await
    }

    /// Events, newest first, with ids below `before`: up to `limit` of the next
    /// [`ROWS_EXAMINED`](crate::limits::ROWS_EXAMINED), or of the next `limit` if that is more.
    /// So a list of which few match takes no longer than others.
    pub async fn list_events(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &EventFilter,
        before: EventId,
        limit: usize,
    ) -> Result<ListPage<Event, EventId>, StoreError> {
        let list = List {
            interval: filter.accepted,
            before: before.ulid(),
            examined_rows: filter.examined_rows(limit),
            limit,
            id: "event_id",
            id_of: |row: &Event| row.id,
            make_id: EventId::new,
        };
        walk::list(
            self,
            shard,
            organization,
            list,
            |before, first| walk(organization, before, first),
            |before, least| listed(organization, filter, (before, least)),
        )
        .await
    }

    /// Events that an endpoint missed while it was disabled, oldest first, after a position.
    pub async fn missed_events(
        &self,
        shard: Shard,
        endpoint: EndpointId,
        after: Position,
        limit: usize,
    ) -> Result<Vec<MissedEvent>, StoreError> {
        let missed = Selection::new()
            .equal("endpoint_id", endpoint)
            .greater("position", after)
            .ascending(&["position"])
            .limit(limit);
        self.selected(shard, missed).await
    }
}

/// The ids of an organization's events below `before`.
pub(crate) fn walk(
    organization: &OrganizationId,
    before: EventId,
    first: Option<EventId>,
) -> Selection<Event> {
    Selection::new()
        .columns(&["organization_id", "event_id"])
        .equal("organization_id", organization)
        .less("event_id", before)
        .at_least_if("event_id", first)
        .descending(&["event_id"])
}

pub(crate) fn listed(
    organization: &OrganizationId,
    filter: &EventFilter,
    (before, least): (EventId, Option<EventId>),
) -> Selection<Event> {
    let EventFilter { event_types, accepted, publisher } = filter;
    Selection::new()
        .equal("organization_id", organization)
        .less("event_id", before)
        .at_least_if("event_id", least)
        .one_of("event_type", event_types.iter().map(|event_type| event_type.name().into()))
        .within("create_time", *accepted)
        .equal_if("publisher", publisher.as_deref().map(Cell::shown))
        .descending(&["event_id"])
}
