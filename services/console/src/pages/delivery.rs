//! A delivery: its attempts on a timeline, and one of them in full.

use askama::Template;
use axum::extract::Path;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::access::Permission;
use serde::Deserialize;
use tonic::Status;

use super::page::{Page, TextView, render, whole_text};
use super::query::Parameters;
use super::visit::Visit;
use crate::error_page::ErrorPage;
use crate::fields::Fields;
use crate::flash::{FlashMessage, Tone};
use crate::view::Badge;
use crate::view::delivery::{AttemptRow, AttemptView, next_attempt, state};
use crate::view::frame::{Frame, Section};
use crate::view::time::Moment;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AttemptQuery {
    attempt: Option<i32>,
}

impl AttemptQuery {
    /// The attempt that the query names.
    fn of<'a>(&self, delivery: &'a v1::Delivery) -> Option<&'a v1::Attempt> {
        delivery.attempts.iter().find(|attempt| self.attempt == Some(attempt.number))
    }
}

#[derive(Template)]
#[template(path = "delivery.html")]
struct DeliveryPage {
    frame: Frame,
    timeline: Timeline,
    event_id: String,
    event_type: String,
    trace_id: String,
    endpoint_id: String,
    /// None: the endpoint was deleted.
    endpoint_name: Option<String>,
    /// None: no attempt was made yet.
    attempt: Option<AttemptView>,
    can_retry: bool,
}

/// How far a delivery has come: the part of the page that changes.
#[derive(Template)]
#[template(path = "parts/timeline.html")]
pub(crate) struct Timeline {
    pub(crate) delivery_id: String,
    state: Badge,
    is_waiting: bool,
    is_paused: bool,
    can_cancel: bool,
    /// Why it ended, if not with an attempt.
    end_reason: String,
    create_time: Option<Moment>,
    next_attempt_time: Option<Moment>,
    attempts: Vec<AttemptRow>,
    /// The number of the attempt that is shown.
    chosen: i32,
}

impl Timeline {
    /// `may_send`: the visitor may cancel deliveries.
    pub(crate) fn of(delivery: &v1::Delivery, chosen: i32, may_send: bool) -> Timeline {
        let is_paused = delivery.state() == v1::delivery::State::Paused;
        let is_waiting = is_paused
            || matches!(
                delivery.state(),
                v1::delivery::State::Scheduled | v1::delivery::State::Retrying
            );
        Timeline {
            delivery_id: delivery.id.clone(),
            state: state(delivery.state()),
            is_waiting,
            is_paused,
            can_cancel: is_waiting && may_send,
            // At most one of them is set.
            end_reason: delivery.cancel_reason.clone() + &delivery.failure_reason,
            create_time: Moment::of(delivery.create_time.as_ref()),
            next_attempt_time: next_attempt(delivery),
            // The buttons are elsewhere on the page.
            attempts: delivery.attempts.iter().map(|it| AttemptRow::of(it, false)).collect(),
            chosen,
        }
    }

    fn is_chosen(&self, attempt: &AttemptRow) -> bool {
        attempt.number == self.chosen
    }
}

pub(crate) async fn show(
    visit: Visit,
    Path(id): Path<String>,
    Parameters(chosen): Parameters<AttemptQuery>,
) -> Page {
    let organization = visit.organization();
    let delivery = organization.delivery(&id).await?;
    let endpoint_name = organization.endpoint_name(&delivery.endpoint_id).await?;
    let attempt = chosen.of(&delivery).or(delivery.attempts.last());
    let attempt = match attempt {
        Some(attempt) => Some(with_content(&visit, attempt).await?),
        None => None,
    };
    let chosen = attempt.as_ref().map_or(0, |attempt| attempt.number);
    let may_send = visit.visitor().may(Permission::Send);
    render(&DeliveryPage {
        frame: visit.frame(Section::Webhooks),
        timeline: Timeline::of(&delivery, chosen, may_send),
        can_retry: may_send && endpoint_name.is_some() && !delivery.test,
        endpoint_name,
        attempt: attempt.as_ref().map(AttemptView::of),
        event_id: delivery.event_id,
        event_type: delivery.event_type,
        trace_id: delivery.trace_id,
        endpoint_id: delivery.endpoint_id,
    })
}

/// The whole body of a receiver's response.
pub(crate) async fn response(
    visit: Visit,
    Path(id): Path<String>,
    Parameters(chosen): Parameters<AttemptQuery>,
    Parameters(view): Parameters<TextView>,
) -> Page {
    let delivery = visit.organization().delivery(&id).await?;
    let attempt = chosen.of(&delivery).ok_or(ErrorPage::NotFound)?;
    whole_text(with_content(&visit, attempt).await?.response_body, &view)
}

/// The whole body of a request.
pub(crate) async fn request(
    visit: Visit,
    Path(id): Path<String>,
    Parameters(chosen): Parameters<AttemptQuery>,
    Parameters(view): Parameters<TextView>,
) -> Page {
    let delivery = visit.organization().delivery(&id).await?;
    let attempt = chosen.of(&delivery).ok_or(ErrorPage::NotFound)?;
    whole_text(with_content(&visit, attempt).await?.request_body, &view)
}

/// Reads the attempt's content if the delivery's answer had no room for it.
async fn with_content(visit: &Visit, attempt: &v1::Attempt) -> Result<v1::Attempt, Status> {
    match attempt.content_omitted {
        true => visit.organization().attempt(&attempt.id).await,
        false => Ok(attempt.clone()),
    }
}

pub(crate) async fn retry(visit: Visit, Path(id): Path<String>, fields: Fields) -> Page {
    let answer = visit.organization().retry(&id).await;
    let back = back(&id, answer.as_ref(), &fields);
    let text = "Retry on its way: the new attempt appears when the receiver has answered.";
    visit.show_outcome(answer.map(|_| FlashMessage::new(Tone::Neutral, text)), &back)
}

pub(crate) async fn cancel(visit: Visit, Path(id): Path<String>, fields: Fields) -> Page {
    let answer = visit.organization().cancel(&id).await;
    let back = back(&id, answer.as_ref(), &fields);
    let text = "Cancelled: no further attempt is made.";
    visit.show_outcome(answer.map(|_| FlashMessage::new(Tone::Neutral, text)), &back)
}

/// Back to the page whose button was pressed.
fn back(id: &str, answer: Result<&v1::Delivery, &Status>, fields: &Fields) -> String {
    match (fields.get("from"), answer) {
        ("webhook", Ok(delivery)) => format!("/webhooks/{}#delivery-log", delivery.endpoint_id),
        _ => format!("/deliveries/{id}"),
    }
}
