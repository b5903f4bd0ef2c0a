//! An endpoint's page, and its actions.

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect};
use futures_util::future::try_join;
use futures_util::try_join;
use jiff::Timestamp;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::access::Permission;
use tonic::{Code, Status};

use super::page::{Page, render};
use super::query::Parameters;
use super::replay;
use super::visit::Visit;
use crate::fields::Fields;
use crate::flash::{FlashMessage, Tone};
use crate::services::OrganizationClient;
use crate::view::SelectOption;
use crate::view::chart::{ChartSize, Statistics, Window};
use crate::view::delivery::{AttemptRow, DeliveryRow, outcome};
use crate::view::endpoint::EndpointView;
use crate::view::filter::LogFilter;
use crate::view::frame::{Frame, Section};
use crate::view::paging::{Paging, address};
use crate::view::replay::{ReplayForm, ReplayProgress};
use crate::view::time::duration_of;

pub(crate) const LOG_PAGE_SIZE: i32 = 25;
const RECENT_DELIVERIES: i32 = 5;
const RECENT_REPLAYS: i32 = 3;

#[derive(Template)]
#[template(path = "endpoint.html")]
struct EndpointPage {
    frame: Frame,
    endpoint: EndpointView,
    has_all_event_types: bool,
    summary: Summary,
    windows: Vec<WindowLink>,
    recent: Vec<DeliveryRow>,
    attempts: Vec<AttemptRow>,
    filter: LogFilter,
    outcomes: Vec<SelectOption>,
    event_types: Vec<SelectOption>,
    paging: Paging,
    /// The address of live updates; only on the log's first page.
    live: Option<String>,
    replays: Vec<ReplayProgress>,
    /// The address at which the failed deliveries that match the filter can be retried.
    retry_matching: Option<String>,
}

struct WindowLink {
    window: Window,
    address: String,
    is_chosen: bool,
}

/// The part of the page that changes with every attempt: status and statistics.
#[derive(Template)]
#[template(path = "parts/summary.html")]
pub(crate) struct Summary {
    pub(crate) endpoint: EndpointView,
    pub(crate) statistics: Statistics,
}

impl Summary {
    pub(crate) async fn read(
        organization: &OrganizationClient,
        endpoint_id: &str,
        window: Window,
    ) -> Result<Summary, Status> {
        let endpoint = organization.endpoint(endpoint_id);
        let stats = organization.stats(endpoint_id, window.duration());
        let (endpoint, stats) = try_join(endpoint, stats).await?;
        let statistics = Statistics::new(window, &stats, Timestamp::now(), ChartSize::LARGE);
        Ok(Summary { endpoint: EndpointView::of(endpoint), statistics })
    }
}

/// The newest deliveries, each with the response to its newest attempt.
pub(crate) async fn recent_deliveries(
    organization: &OrganizationClient,
    endpoint_id: &str,
) -> Result<Vec<DeliveryRow>, Status> {
    let filter = v1::ListDeliveriesRequest {
        endpoint_ids: vec![endpoint_id.to_owned()],
        page_size: RECENT_DELIVERIES,
        ..Default::default()
    };
    let deliveries = organization.deliveries(filter).await?.deliveries;
    let newest = organization.newest_attempts(&deliveries).await?;
    let rows = deliveries.iter().zip(&newest);
    Ok(rows.map(|(delivery, newest)| DeliveryRow::of(delivery, newest.as_ref())).collect())
}

pub(crate) async fn show(
    visit: Visit,
    Path(id): Path<String>,
    Parameters(filter): Parameters<LogFilter>,
) -> Page {
    let organization = visit.organization();
    let window = Window::named(&filter.window);
    let (summary, recent, log, replays, event_types) = try_join!(
        Summary::read(&organization, &id, window),
        recent_deliveries(&organization, &id),
        organization.attempts(filter.attempts(&id, LOG_PAGE_SIZE)),
        organization.newest_replays(&id, RECENT_REPLAYS),
        visit.event_types(),
    )?;
    let path = format!("/webhooks/{}", summary.endpoint.id);
    let windows = Window::ALL.map(|window| WindowLink {
        window,
        address: address(&path, {
            let others = filter.parameters().into_iter().filter(|(name, _)| *name != "window");
            [("window", window.name())].into_iter().chain(others)
        }),
        is_chosen: window.name() == summary.statistics.window.name(),
    });
    let live =
        filter.page.is_empty().then(|| address(&format!("{path}/live"), filter.parameters()));
    let may_send = visit.visitor().may(Permission::Send);
    render(&EndpointPage {
        frame: visit.frame(Section::Webhooks),
        has_all_event_types: summary.endpoint.event_types.len() >= event_types.len(),
        endpoint: summary.endpoint.clone(),
        windows: windows.into(),
        recent,
        attempts: log.attempts.iter().map(|it| AttemptRow::of(it, may_send)).collect(),
        outcomes: filter.outcome_choices(),
        event_types: filter.event_type_choices(event_types),
        paging: Paging::new(
            &path,
            &filter.parameters(),
            &filter.position(),
            &log.next_page_token,
            "#delivery-log",
        ),
        live,
        replays: replays.iter().map(|replay| ReplayProgress::of(replay, may_send)).collect(),
        retry_matching: filter
            .can_match_failures()
            .then(|| matching_failures(&filter).address(&summary.endpoint.id)),
        filter,
        summary,
    })
}

/// A replay of the failed entries that a filter shows.
fn matching_failures(filter: &LogFilter) -> ReplayForm {
    ReplayForm {
        scope: "failed".to_owned(),
        event_type: filter.event_type.clone(),
        from: filter.from.clone(),
        to: filter.to.clone(),
        ..ReplayForm::default()
    }
}

pub(crate) async fn test(visit: Visit, Path(id): Path<String>) -> Page {
    let tested = match visit.organization().test(&id).await {
        Ok(tested) => Ok(test_outcome(&tested)),
        // The deadline of our client or of the service, whichever comes first.
        Err(status) if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) => {
            let text = "The test is still under way: its outcome appears in Recent Deliveries.";
            Ok(FlashMessage::new(Tone::Neutral, text))
        }
        Err(status) => Err(status),
    };
    visit.show_outcome(tested, &format!("/webhooks/{id}"))
}

fn test_outcome(tested: &v1::SendTestResponse) -> FlashMessage {
    let attempt = tested.attempt.clone().unwrap_or_default();
    let took = duration_of(attempt.duration.as_ref()).unwrap_or_default();
    let remark = match attempt.remark.as_str() {
        "" => String::new(),
        remark => format!(" Remark: {remark}."),
    };
    let flash = match attempt.outcome() {
        v1::attempt::Outcome::Delivered => FlashMessage::new(
            Tone::Good,
            format!(
                "Test delivered: the receiver answered {} in {took}.{remark}",
                attempt.status_code
            ),
        ),
        other => FlashMessage::new(
            Tone::Bad,
            format!(
                "Test {}: {}, after {took}.{remark}",
                outcome(other).word.to_lowercase(),
                attempt.error
            ),
        ),
    };
    flash.with_link(format!("/deliveries/{}", attempt.delivery_id), "Inspect the attempt")
}

pub(crate) async fn enable(visit: Visit, Path(id): Path<String>, fields: Fields) -> Page {
    let flash = match visit.organization().enable(&id).await {
        Ok(endpoint) => {
            let text = format!("{} is enabled: deliveries go on.", endpoint.display_name);
            let missed = replay::missed_events(&visit, &endpoint).await;
            Ok(missed.unwrap_or_else(|| FlashMessage::new(Tone::Good, text)))
        }
        Err(status) => Err(status),
    };
    visit.show_outcome(flash, back(&id, &fields).as_str())
}

pub(crate) async fn disable(visit: Visit, Path(id): Path<String>, fields: Fields) -> Page {
    let disabled = visit.organization().disable(&id).await;
    let flash = disabled.map(|endpoint| {
        let text =
            format!("{} is disabled: nothing is sent until it is enabled.", endpoint.display_name);
        FlashMessage::new(Tone::Neutral, text)
    });
    visit.show_outcome(flash, back(&id, &fields).as_str())
}

/// Back to the page whose menu was used.
fn back(id: &str, fields: &Fields) -> String {
    match fields.get("from") {
        "list" => "/webhooks".to_owned(),
        _ => format!("/webhooks/{id}"),
    }
}

#[derive(Template)]
#[template(path = "delete.html")]
struct DeletePage {
    frame: Frame,
    endpoint: EndpointView,
}

pub(crate) async fn confirm_delete(visit: Visit, Path(id): Path<String>) -> Page {
    let endpoint = EndpointView::of(visit.organization().endpoint(&id).await?);
    render(&DeletePage { frame: visit.frame(Section::Webhooks), endpoint })
}

pub(crate) async fn delete(visit: Visit, Path(id): Path<String>) -> Page {
    let organization = visit.organization();
    let endpoint = organization.endpoint(&id).await?;
    organization.delete(&id).await?;
    visit.keep_flash(FlashMessage::new(
        Tone::Neutral,
        format!("{} was deleted.", endpoint.display_name),
    ));
    Ok(Redirect::to("/webhooks").into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tested(outcome: v1::attempt::Outcome, status_code: i32, error: &str) -> FlashMessage {
        let attempt = v1::Attempt {
            outcome: outcome.into(),
            status_code,
            error: error.to_owned(),
            duration: Some(prost_types::Duration { seconds: 0, nanos: 12_000_000 }),
            ..Default::default()
        };
        test_outcome(&v1::SendTestResponse {
            attempt: Some(attempt),
            delivery: None,
            ..Default::default()
        })
    }

    #[test]
    fn the_outcome_of_a_test_is_a_sentence() {
        let good = tested(v1::attempt::Outcome::Delivered, 200, "");
        assert_eq!(good.text, "Test delivered: the receiver answered 200 in 12 ms.");
        let bad = tested(v1::attempt::Outcome::Failed, 503, "the receiver answered 503");
        assert_eq!(bad.text, "Test failed: the receiver answered 503, after 12 ms.");
        assert_eq!((good.tone, bad.tone), (Tone::Good, Tone::Bad));
    }
}
