//! Events: what was published, and the state of its deliveries.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::extract::Path;
use futures_util::future::{try_join, try_join_all};
use keeptrusts_webhooks_contracts::v1;
use tonic::Status;

use super::page::{Page, TextView, render, whole_text};
use super::query::Parameters;
use super::visit::Visit;
use crate::services::OrganizationClient;
use crate::view::delivery::{BodyText, DeliveryRow, state};
use crate::view::filter::LogFilter;
use crate::view::frame::{Frame, Section};
use crate::view::paging::Paging;
use crate::view::time::Moment;
use crate::view::{Badge, SelectOption};

const PAGE_SIZE: i32 = 25;
/// For each event on the list. An organization has few endpoints for one event type.
const DELIVERIES_COUNTED: i32 = 100;
const DELIVERIES_PER_PAGE: i32 = 50;

#[derive(Template)]
#[template(path = "events.html")]
struct EventsPage {
    frame: Frame,
    rows: Vec<EventRow>,
    filter: LogFilter,
    event_types: Vec<SelectOption>,
    paging: Paging,
}

struct EventRow {
    id: String,
    event_type: String,
    create_time: Option<Moment>,
    /// The number of deliveries in each state.
    deliveries: Vec<(Badge, usize)>,
    has_more: bool,
}

pub(crate) async fn list(visit: Visit, Parameters(filter): Parameters<LogFilter>) -> Page {
    let organization = visit.organization();
    let listed = organization.events(filter.events(PAGE_SIZE));
    let (listed, event_types) = try_join(listed, visit.event_types()).await?;
    let deliveries = listed.events.iter().map(|event| {
        organization.deliveries(v1::ListDeliveriesRequest {
            event_id: event.id.clone(),
            page_size: DELIVERIES_COUNTED,
            ..Default::default()
        })
    });
    let deliveries = try_join_all(deliveries).await?;
    let rows = listed.events.iter().zip(deliveries).map(|(event, deliveries)| EventRow {
        id: event.id.clone(),
        event_type: event.event_type.clone(),
        create_time: Moment::of(event.create_time.as_ref()),
        deliveries: counted(&deliveries.deliveries),
        has_more: !deliveries.next_page_token.is_empty(),
    });
    render(&EventsPage {
        frame: visit.frame(Section::Events),
        rows: rows.collect(),
        event_types: filter.event_type_choices(event_types),
        paging: Paging::new(
            "/events",
            &filter.parameters(),
            &filter.position(),
            &listed.next_page_token,
            "",
        ),
        filter,
    })
}

/// In the order in which a delivery passes through the states.
fn counted(deliveries: &[v1::Delivery]) -> Vec<(Badge, usize)> {
    let mut counts = BTreeMap::new();
    for delivery in deliveries {
        *counts.entry(delivery.state).or_insert(0) += 1;
    }
    let badge = |number| state(v1::delivery::State::try_from(number).unwrap_or_default());
    counts.into_iter().map(|(number, count)| (badge(number), count)).collect()
}

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage {
    frame: Frame,
    id: String,
    event_type: String,
    event_time: Option<Moment>,
    create_time: Option<Moment>,
    idempotency_key: String,
    trace_id: String,
    sha256: String,
    body_size: i64,
    body: BodyText,
    deliveries: Vec<EventDelivery>,
    paging: Paging,
}

struct EventDelivery {
    endpoint_id: String,
    /// None: the endpoint was deleted.
    endpoint_name: Option<String>,
    row: DeliveryRow,
}

pub(crate) async fn show(
    visit: Visit,
    Path(id): Path<String>,
    Parameters(filter): Parameters<LogFilter>,
) -> Page {
    let organization = visit.organization();
    let listed = organization.deliveries(v1::ListDeliveriesRequest {
        event_id: id.clone(),
        page_size: DELIVERIES_PER_PAGE,
        page_token: filter.page.clone(),
        ..Default::default()
    });
    let (event, listed) = try_join(organization.event(&id), listed).await?;
    let newest = organization.newest_attempts(&listed.deliveries);
    let names = endpoint_names(&organization, &listed.deliveries);
    let (newest, names) = try_join(newest, names).await?;
    let deliveries =
        listed.deliveries.iter().zip(&newest).map(|(delivery, newest)| EventDelivery {
            endpoint_id: delivery.endpoint_id.clone(),
            endpoint_name: names.get(&delivery.endpoint_id).cloned(),
            row: DeliveryRow::of(delivery, newest.as_ref()),
        });
    let path = format!("/events/{}", event.id);
    render(&EventPage {
        frame: visit.frame(Section::Events),
        event_time: Moment::of(event.event_time.as_ref()),
        create_time: Moment::of(event.create_time.as_ref()),
        sha256: event.body_sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
        body: BodyText::of(&event.body, format!("/events/{}/body?", event.id)),
        body_size: event.body_size_bytes,
        deliveries: deliveries.collect(),
        paging: Paging::new(&path, &[], &filter.position(), &listed.next_page_token, ""),
        id: event.id,
        event_type: event.event_type,
        idempotency_key: event.idempotency_key,
        trace_id: event.trace_id,
    })
}

/// The names of the endpoints that were not deleted.
async fn endpoint_names(
    organization: &OrganizationClient,
    deliveries: &[v1::Delivery],
) -> Result<BTreeMap<String, String>, Status> {
    let ids: BTreeSet<&str> =
        deliveries.iter().map(|delivery| delivery.endpoint_id.as_str()).collect();
    let names = ids.into_iter().map(async |id| {
        let name = organization.endpoint_name(id).await?;
        Ok::<_, Status>(name.map(|name| (id.to_owned(), name)))
    });
    Ok(try_join_all(names).await?.into_iter().flatten().collect())
}

/// The whole body.
pub(crate) async fn body(
    visit: Visit,
    Path(id): Path<String>,
    Parameters(view): Parameters<TextView>,
) -> Page {
    whole_text(visit.organization().event(&id).await?.body, &view)
}
