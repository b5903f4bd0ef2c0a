//! The Webhooks page: every endpoint with its recent statistics.

use askama::Template;
use futures_util::future::{try_join, try_join_all};
use jiff::Timestamp;
use serde::Deserialize;

use super::page::{Page, render};
use super::query::Parameters;
use super::visit::Visit;
use crate::services::PageRef;
use crate::view::SelectOption;
use crate::view::chart::{ChartSize, Statistics, Window};
use crate::view::endpoint::{EndpointRow, STATUSES};
use crate::view::frame::{Frame, Section};
use crate::view::paging::{PagePosition, Paging};

const PAGE_SIZE: i32 = 15;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EndpointFilter {
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
    statuses: Vec<SelectOption>,
    is_filtered: bool,
    paging: Paging,
}

pub(crate) async fn show(visit: Visit, Parameters(filter): Parameters<EndpointFilter>) -> Page {
    let organization = visit.organization();
    let status = STATUSES.iter().find(|(name, _)| *name == filter.status);
    let state = status.map(|(_, state)| *state);
    let page = PageRef { size: PAGE_SIZE, token: &filter.page };
    let listed = organization.endpoints(page, state, &filter.q);
    let (listed, event_types) = try_join(listed, visit.event_types()).await?;

    let stats = listed
        .endpoints
        .iter()
        .map(|endpoint| organization.stats(&endpoint.id, Window::Day.duration()));
    let stats = try_join_all(stats).await?;
    let now = Timestamp::now();
    let rows = listed.endpoints.into_iter().zip(stats).map(|(endpoint, stats)| {
        let statistics = Statistics::new(Window::Day, &stats, now, ChartSize::SMALL);
        EndpointRow::new(endpoint, statistics, event_types.len())
    });

    let all = SelectOption::new("", "All statuses", &filter.status);
    let named = STATUSES.iter().map(|(name, status)| {
        SelectOption::new(name, crate::view::endpoint::status(*status).word, &filter.status)
    });
    let position = PagePosition { page: filter.page.clone(), trail: filter.trail.clone() };
    let parameters = [("q", filter.q.as_str()), ("status", filter.status.as_str())];
    render(&WebhooksPage {
        frame: visit.frame(Section::Webhooks),
        rows: rows.collect(),
        statuses: [all].into_iter().chain(named).collect(),
        is_filtered: !filter.q.is_empty() || !filter.status.is_empty(),
        paging: Paging::new("/webhooks", &parameters, &position, &listed.next_page_token, ""),
        search: filter.q,
    })
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_contracts::time::timestamp_to_proto;
    use keeptrusts_webhooks_contracts::v1;

    use super::*;
    use crate::assets::ASSETS;
    use crate::visitor::Visitor;

    /// An endpoint whose every hour has attempts of every outcome.
    fn busy(number: i64, now: Timestamp) -> EndpointRow {
        let endpoint = v1::Endpoint {
            id: format!("ep_01KPX3Z9R9Q5C3W6M4T8N2B7{number:02}"),
            display_name: "a name of some length, as they are".to_owned(),
            url: format!(
                "https://siem.example.com/webhooks/keeptrusts/{number}?{}",
                "x".repeat(1_900)
            ),
            event_types: (0..15).map(|index| format!("category.event_type_{index}")).collect(),
            state: v1::endpoint::State::Active.into(),
            ..Default::default()
        };
        let counts = |hour: i64| v1::AttemptStats {
            delivered_count: 90_000 + hour * 37,
            retrying_count: 1_000 + hour * 53,
            failed_count: 500 + hour * 71,
            ..Default::default()
        };
        let hours = (0..24_i64).map(|hour| v1::HourlyAttemptStats {
            start_time: Some(prost_types::Timestamp {
                seconds: timestamp_to_proto(now).seconds.div_euclid(3_600) * 3_600 - hour * 3_600,
                nanos: 0,
            }),
            stats: Some(counts(hour)),
        });
        let stats = v1::GetEndpointStatsResponse { total: Some(counts(0)), hours: hours.collect() };
        EndpointRow::new(endpoint, Statistics::new(Window::Day, &stats, now, ChartSize::SMALL), 16)
    }

    /// A visitor who sees every button.
    fn admin() -> Option<Visitor> {
        Visitor::of(v1::WhoAmIResponse { role: v1::Role::Admin.into(), ..Default::default() })
    }

    #[test]
    fn a_full_page_of_busy_endpoints_is_below_100_kib_with_all_that_it_loads() {
        let now = "2026-04-23T10:30:00Z".parse().expect("a time");
        let page = WebhooksPage {
            frame: Frame { form_token: "f".repeat(64), visitor: admin(), ..Frame::bare() },
            rows: (0..i64::from(PAGE_SIZE)).map(|number| busy(number, now)).collect(),
            search: String::new(),
            statuses: Vec::new(),
            is_filtered: false,
            paging: Paging::default(),
        };
        let html = page.render().expect("renders");
        let bytes = html.len() + ASSETS.total_bytes();
        assert!(bytes < 100 * 1024, "{bytes} bytes");
    }
}
