//! The Webhooks page: every endpoint, with what has happened to it lately.

use askama::Template;
use futures_util::future::{try_join, try_join_all};
use jiff::Timestamp;
use keeptrusts_webhooks_contracts::v1;
use serde::Deserialize;

use super::{Page, Parameters, Visit, render};
use crate::services::PageOf;
use crate::view::Choice;
use crate::view::chart::{Size, Statistics, Window};
use crate::view::endpoint::{EndpointRow, STATUSES};
use crate::view::frame::{Frame, Section};
use crate::view::paging::{Paging, Place};

const PAGE_SIZE: i32 = 20;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Filter {
    q: String,
    status: String,
    page: String,
    trail: String,
}

#[derive(Template)]
#[template(path = "webhooks.html")]
struct WebhooksPage {
    frame: Frame,
    rows: Vec<EndpointRow>,
    search: String,
    statuses: Vec<Choice>,
    is_filtered: bool,
    paging: Paging,
}

pub(crate) async fn show(visit: Visit, Parameters(filter): Parameters<Filter>) -> Page {
    let organization = visit.organization();
    let status = STATUSES.iter().find(|(name, _)| *name == filter.status);
    let status = status.map_or(v1::EndpointStatus::Unspecified, |(_, status)| *status);
    let page = PageOf { size: PAGE_SIZE, token: &filter.page };
    let listed = organization.endpoints(page, status, &filter.q);
    let (listed, event_types) = try_join(listed, organization.event_types()).await?;

    let stats = listed
        .endpoints
        .iter()
        .map(|endpoint| organization.stats(&endpoint.id, Window::Day.duration()));
    let stats = try_join_all(stats).await?;
    let now = Timestamp::now();
    let rows = listed.endpoints.into_iter().zip(stats).map(|(endpoint, stats)| {
        let statistics = Statistics::new(Window::Day, &stats, now, Size::SMALL);
        EndpointRow::new(endpoint, statistics, event_types.len())
    });

    let all = Choice::new("", "All statuses", &filter.status);
    let named = STATUSES.iter().map(|(name, status)| {
        Choice::new(name, crate::view::endpoint::status(*status).word, &filter.status)
    });
    let place = Place { page: filter.page.clone(), trail: filter.trail.clone() };
    let parameters = [("q", filter.q.as_str()), ("status", filter.status.as_str())];
    render(&WebhooksPage {
        frame: visit.frame(Section::Webhooks),
        rows: rows.collect(),
        statuses: [all].into_iter().chain(named).collect(),
        is_filtered: !filter.q.is_empty() || !filter.status.is_empty(),
        paging: Paging::new("/webhooks", &parameters, &place, &listed.next_page_token, ""),
        search: filter.q,
    })
}
