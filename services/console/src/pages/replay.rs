//! Replays: the form with a count, and the page of one that runs.

use std::time::Duration;

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::access::Permission;
use tokio::time::timeout;
use tonic::{Code, Status};

use super::page::{Page, render};
use super::query::Parameters;
use super::visit::Visit;
use crate::error_page::{ErrorPage, SERVICE_UNAVAILABLE, sentence};
use crate::fields::Fields;
use crate::flash::{FlashMessage, Tone};
use crate::view::SelectOption;
use crate::view::endpoint::EndpointView;
use crate::view::frame::{Frame, Section};
use crate::view::replay::{ReplayForm, ReplayProgress, heading, matched};
use crate::view::time::Moment;

/// How long counting missed events may delay the page that says an endpoint is enabled.
const MISSED_LIMIT: Duration = Duration::from_secs(3);

#[derive(Template)]
#[template(path = "replay_form.html")]
struct FormPage {
    frame: Frame,
    endpoint: EndpointView,
    form: ReplayForm,
    /// The part of the form that lists have too.
    filter: ReplayForm,
    scopes: Vec<SelectOption>,
    event_types: Vec<SelectOption>,
    /// None: it cannot be counted.
    counted: Option<ReplayCount>,
    /// Why it cannot be counted, or was not started.
    objection: Option<String>,
}

/// What a replay would send.
struct ReplayCount {
    /// It would send something.
    can_send: bool,
    heading: String,
    scheduled: i64,
    resumed: i64,
    skipped: i64,
    expired: i64,
}

impl ReplayCount {
    fn of(replay: &v1::Replay) -> ReplayCount {
        ReplayCount {
            can_send: replay.matched_count > 0 || replay.may_match_more,
            heading: heading(replay),
            scheduled: replay.scheduled_count,
            resumed: replay.resumed_count,
            skipped: replay.skipped_count,
            expired: replay.expired_count,
        }
    }
}

pub(crate) async fn show(
    visit: Visit,
    Path(id): Path<String>,
    Parameters(form): Parameters<ReplayForm>,
) -> Page {
    page(&visit, &id, form, None).await
}

pub(crate) async fn submit(visit: Visit, Path(id): Path<String>, fields: Fields) -> Page {
    let form = ReplayForm::of(&fields);
    if !form.is_right() {
        return page(&visit, &id, form, None).await;
    }
    match visit.organization().replay(form.replay(&id), false).await {
        Ok(replay) => Ok(Redirect::to(&format!("/replays/{}", replay.id)).into_response()),
        Err(status) => {
            let objection = objection(status)?;
            page(&visit, &id, form, Some(objection)).await
        }
    }
}

/// The form as it was filled in, with the count.
async fn page(
    visit: &Visit,
    id: &str,
    form: ReplayForm,
    earlier_objection: Option<String>,
) -> Page {
    let organization = visit.organization();
    let endpoint = EndpointView::of(organization.endpoint(id).await?);
    let mut shown = FormPage {
        frame: visit.frame(Section::Webhooks),
        scopes: form.scope_choices(),
        event_types: form.event_type_choices(&endpoint.event_types),
        filter: form.clone(),
        endpoint,
        counted: None,
        objection: earlier_objection,
        form,
    };
    if shown.form.is_right() && shown.objection.is_none() {
        match organization.replay(shown.form.replay(id), true).await {
            Ok(replay) => shown.counted = Some(ReplayCount::of(&replay)),
            Err(status) => shown.objection = Some(objection(status)?),
        }
    }
    render(&shown)
}

/// A service's objection, for the page with the form. Other errors have a page of their own.
fn objection(status: Status) -> Result<String, ErrorPage> {
    if status.code() == Code::InvalidArgument {
        return Ok(sentence(&status));
    }
    match ErrorPage::from(status) {
        ErrorPage::Refused(text) => Ok(text),
        ErrorPage::ServiceUnavailable => Ok(SERVICE_UNAVAILABLE.to_owned()),
        error => Err(error),
    }
}

#[derive(Template)]
#[template(path = "replay.html")]
struct ReplayPage {
    frame: Frame,
    progress: ReplayProgress,
    endpoint_id: String,
    /// None: the endpoint was deleted.
    endpoint_name: Option<String>,
    start_time: Option<Moment>,
    end_time: Option<Moment>,
    event_types: Vec<String>,
    include_delivered: bool,
    deliveries_per_second: i32,
    creator: String,
}

pub(crate) async fn show_replay(visit: Visit, Path(id): Path<String>) -> Page {
    let organization = visit.organization();
    let replay = organization.get_replay(&id).await?;
    let may_send = visit.visitor().may(Permission::Send);
    render(&ReplayPage {
        endpoint_name: organization.endpoint_name(&replay.endpoint_id).await?,
        frame: visit.frame(Section::Webhooks),
        progress: ReplayProgress::of(&replay, may_send),
        start_time: Moment::of(replay.start_time.as_ref()),
        end_time: Moment::of(replay.end_time.as_ref()),
        endpoint_id: replay.endpoint_id,
        event_types: replay.event_types,
        include_delivered: replay.include_delivered,
        deliveries_per_second: replay.deliveries_per_second,
        creator: replay.creator,
    })
}

pub(crate) async fn cancel(visit: Visit, Path(id): Path<String>) -> Page {
    let cancelled = visit.organization().cancel_replay(&id).await;
    let text = "Cancelled: what was scheduled already is delivered, and no more.";
    let flash = cancelled.map(|_| FlashMessage::new(Tone::Neutral, text));
    visit.show_outcome(flash, &format!("/replays/{id}"))
}

/// Offers to replay what an endpoint missed while it was disabled, if there is something.
pub(crate) async fn missed_events(visit: &Visit, endpoint: &v1::Endpoint) -> Option<FlashMessage> {
    if !visit.visitor().may(Permission::Send) {
        return None;
    }
    let form = ReplayForm { scope: "missed".to_owned(), ..ReplayForm::default() };
    let replay = form.replay(&endpoint.id);
    // The endpoint is enabled whether this can be counted or not, so the page does not wait long.
    let organization = visit.organization();
    let replay = timeout(MISSED_LIMIT, organization.replay(replay, true)).await.ok()?;
    let replay = replay.ok()?;
    let events = matched(&replay, "event", "events");
    let text = format!(
        "{} is enabled: deliveries go on. It missed {events} while it was disabled.",
        endpoint.display_name
    );
    let flash = FlashMessage::new(Tone::Good, text);
    (replay.matched_count > 0)
        .then(|| flash.with_link(form.address(&endpoint.id), "Replay missed events"))
}
