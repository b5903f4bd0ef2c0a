//! Notification channels: the list, the page of one with its history, and its actions.

mod form;

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect};
use keeptrusts_webhooks_contracts::v1;
use serde::Deserialize;
use tonic::Code;

use super::form_errors::FormErrors;
use super::page::{Page, render};
use super::query::Parameters;
use super::visit::Visit;
use crate::fields::Fields;
use crate::flash::{FlashMessage, Tone};
use crate::services::PageRef;
use crate::view::channel::{ChannelView, KINDS, NotificationRow};
use crate::view::frame::{Frame, Section};
use crate::view::paging::{PagePosition, Paging};
use crate::view::time::duration_of;
use form::{ChannelForm, TypeBox};

const PAGE_SIZE: i32 = 25;
/// As many as an organization can have, so that the list has one page.
const MAX_CHANNELS: i32 = 1_000;

#[derive(Template)]
#[template(path = "channels.html")]
struct ChannelsPage {
    frame: Frame,
    channels: Vec<ChannelView>,
}

pub(crate) async fn list(visit: Visit) -> Page {
    let page = PageRef { size: MAX_CHANNELS, token: "" };
    let listed = visit.organization().channels(page).await?;
    render(&ChannelsPage {
        frame: visit.frame(Section::Channels),
        channels: listed.channels.iter().map(ChannelView::of).collect(),
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HistoryQuery {
    page: String,
    trail: String,
}

#[derive(Template)]
#[template(path = "channel.html")]
struct ChannelPage {
    frame: Frame,
    channel: ChannelView,
    rows: Vec<NotificationRow>,
    paging: Paging,
}

pub(crate) async fn show(
    visit: Visit,
    Path(id): Path<String>,
    Parameters(history): Parameters<HistoryQuery>,
) -> Page {
    let organization = visit.organization();
    let page = PageRef { size: PAGE_SIZE, token: &history.page };
    let (channel, history_page) =
        tokio::try_join!(organization.channel(&id), organization.notifications(page, &id))?;
    let position = PagePosition { page: history.page.clone(), trail: history.trail.clone() };
    let path = format!("/channels/{}", channel.id);
    render(&ChannelPage {
        frame: visit.frame(Section::Channels),
        channel: ChannelView::of(&channel),
        rows: history_page.notifications.iter().map(NotificationRow::of).collect(),
        paging: Paging::new(&path, &[], &position, &history_page.next_page_token, "#history"),
    })
}

#[derive(Template)]
#[template(path = "channel_kinds.html")]
struct KindsPage {
    frame: Frame,
    kinds: &'static [(&'static str, &'static str)],
}

#[derive(Template)]
#[template(path = "channel_form.html")]
struct FormPage {
    frame: Frame,
    form: ChannelForm,
    types: Vec<TypeBox>,
    errors: FormErrors,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct KindQuery {
    kind: String,
}

/// The first step chooses the kind, which determines the fields of the second.
pub(crate) async fn show_create_form(
    visit: Visit,
    Parameters(query): Parameters<KindQuery>,
) -> Page {
    match ChannelForm::new(&query.kind) {
        Some(form) => show_form(&visit, form, FormErrors::default()),
        None => render(&KindsPage { frame: visit.frame(Section::Channels), kinds: &KINDS }),
    }
}

fn show_form(visit: &Visit, form: ChannelForm, errors: FormErrors) -> Page {
    let code = errors.status_code();
    let frame = visit.frame(Section::Channels);
    let types = form.types();
    Ok((code, render(&FormPage { frame, form, types, errors })?).into_response())
}

pub(crate) async fn create(visit: Visit, fields: Fields) -> Page {
    let Some(form) = ChannelForm::read(&fields, None) else {
        return Ok(Redirect::to("/channels/new").into_response());
    };
    match visit.organization().create_channel(form.channel()).await {
        Ok(channel) => {
            let text = format!(
                "{} was created. Send a test to see whether it works.",
                channel.display_name
            );
            visit.keep_flash(FlashMessage::new(Tone::Good, text));
            Ok(Redirect::to(&format!("/channels/{}", channel.id)).into_response())
        }
        Err(status) => show_form(&visit, form, FormErrors::of_status(status)?),
    }
}

pub(crate) async fn show_edit_form(visit: Visit, Path(id): Path<String>) -> Page {
    let channel = visit.organization().channel(&id).await?;
    show_form(&visit, ChannelForm::of(&channel), FormErrors::default())
}

pub(crate) async fn edit(visit: Visit, Path(id): Path<String>, fields: Fields) -> Page {
    let Some(form) = ChannelForm::read(&fields, Some(&id)) else {
        return Ok(Redirect::to(&format!("/channels/{id}/edit")).into_response());
    };
    match visit.organization().update_channel(form.channel()).await {
        Ok(channel) => {
            visit.keep_flash(FlashMessage::new(
                Tone::Good,
                format!("{} was saved.", channel.display_name),
            ));
            Ok(Redirect::to(&format!("/channels/{}", channel.id)).into_response())
        }
        Err(status) => show_form(&visit, form, FormErrors::of_status(status)?),
    }
}

pub(crate) async fn test(visit: Visit, Path(id): Path<String>) -> Page {
    let tested = match visit.organization().test_channel(&id).await {
        Ok(tested) => Ok(test_outcome(&tested)),
        // The deadline of our client or of the service, whichever comes first.
        Err(status) if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) => {
            let text = "The test is still under way: its outcome appears in the history.";
            Ok(FlashMessage::new(Tone::Neutral, text))
        }
        Err(status) => Err(status),
    };
    visit.show_outcome(tested, &format!("/channels/{id}"))
}

fn test_outcome(tested: &v1::Notification) -> FlashMessage {
    let took = duration_of(tested.duration.as_ref()).unwrap_or_default();
    match tested.state() {
        v1::notification::State::Sent => FlashMessage::new(
            Tone::Good,
            format!("Test sent: the service answered {} in {took}.", tested.status_code),
        ),
        _ => FlashMessage::new(Tone::Bad, format!("Test failed: {}, after {took}.", tested.error)),
    }
}

#[derive(Template)]
#[template(path = "channel_delete.html")]
struct DeletePage {
    frame: Frame,
    channel: ChannelView,
}

pub(crate) async fn confirm_delete(visit: Visit, Path(id): Path<String>) -> Page {
    let channel = ChannelView::of(&visit.organization().channel(&id).await?);
    render(&DeletePage { frame: visit.frame(Section::Channels), channel })
}

pub(crate) async fn delete(visit: Visit, Path(id): Path<String>) -> Page {
    let organization = visit.organization();
    let channel = organization.channel(&id).await?;
    organization.delete_channel(&id).await?;
    visit.keep_flash(FlashMessage::new(
        Tone::Neutral,
        format!("{} was deleted.", channel.display_name),
    ));
    Ok(Redirect::to("/channels").into_response())
}
