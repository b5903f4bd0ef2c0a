//! Edit: everything about an endpoint on one page.

use std::time::Duration;

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect};
use http::StatusCode;
use keeptrusts_webhooks_contracts::v1;
use tonic::Code;

use super::create::{generated, previewed};
use super::form::{Category, Difference, EndpointForm, categories};
use super::form_errors::FormErrors;
use super::page::{Page, render};
use super::payload::{self, FormatChoice, Preview};
use super::visit::Visit;
use crate::fields::Fields;
use crate::flash::{FlashMessage, Tone};
use crate::view::SelectOption;
use crate::view::frame::{Frame, Section};

#[derive(Template)]
#[template(path = "edit.html")]
struct EditPage {
    frame: Frame,
    id: String,
    title: String,
    etag: String,
    form: EndpointForm,
    errors: FormErrors,
    categories: Vec<Category>,
    overlaps: Vec<SelectOption>,
    formats: Vec<FormatChoice>,
    previewed: Vec<SelectOption>,
    preview: Option<Preview>,
    /// What somebody else has changed since the form was opened.
    conflict: Option<Vec<Difference>>,
}

/// How long the old secret keeps signing: hours, and the option's text.
const OVERLAPS: [(&str, &str); 4] =
    [("0", "Not at all"), ("1", "1 hour"), ("24", "24 hours"), ("168", "7 days")];
const DEFAULT_OVERLAP: &str = "24";

pub(crate) async fn show(visit: Visit, Path(endpoint): Path<String>) -> Page {
    let endpoint = visit.organization().endpoint(&endpoint).await?;
    let form = EndpointForm::of(&endpoint);
    let input = EditInput { form, overlap: DEFAULT_OVERLAP.to_owned(), preview: None };
    page(&visit, &endpoint, input, FormErrors::default(), None).await
}

struct EditInput {
    /// An empty secret leaves the current one.
    form: EndpointForm,
    overlap: String,
    /// The preview that was asked for.
    preview: Option<Preview>,
}

pub(crate) async fn submit(visit: Visit, Path(id): Path<String>, fields: Fields) -> Page {
    let organization = visit.organization();
    let event_types = visit.event_types().await?;
    let mut input = EditInput {
        form: EndpointForm::read(&fields, event_types),
        overlap: fields.get("overlap").to_owned(),
        preview: None,
    };
    input.form.endpoint.id.clone_from(&id);
    let mut errors = FormErrors::default();
    let is_finished = match fields.get("action") {
        "select-all" => {
            input.form.select_all(event_types);
            false
        }
        "generate" => {
            input.form.secret = generated().into();
            false
        }
        "preview" => {
            input.preview = payload::preview(&visit, &input.form.payload, &mut errors).await?;
            false
        }
        // "save", and Enter in a field.
        _ => {
            errors = input.form.check();
            // The service knows whether there is a routing key that can stay.
            if input.form.payload.routing_key.is_empty() {
                errors.ignore("routing_key");
            }
            errors.is_empty()
        }
    };
    // With the etag that the form was opened with: a change since then is noticed.
    let opened = input.form.endpoint();
    if !is_finished {
        return page(&visit, &opened, input, errors, None).await;
    }
    let saved = match organization.update_endpoint(opened.clone()).await {
        Ok(saved) => saved,
        Err(status) if status.code() == Code::Aborted => {
            // The page now has the new etag: whoever saves again has seen what it replaces.
            let current = organization.endpoint(&id).await?;
            let differences = input.form.differences(&current);
            let page = page(&visit, &current, input, errors, Some(differences)).await?;
            return Ok((StatusCode::CONFLICT, page).into_response());
        }
        Err(status) => {
            return page(&visit, &opened, input, FormErrors::of_status(status)?, None).await;
        }
    };
    let back = format!("/webhooks/{id}");
    if input.form.secret.is_empty() {
        visit.keep_flash(FlashMessage::new(Tone::Good, "Saved."));
        return Ok(Redirect::to(&back).into_response());
    }
    let (secret, overlap) = (input.form.secret.expose().to_owned(), overlap(&input.overlap));
    match organization.rotate_secret(&id, secret, overlap).await {
        Ok(rotated) => {
            visit.keep_secret(&id, rotated.secret);
            visit.keep_flash(FlashMessage::new(Tone::Good, "Saved, with a new secret."));
            Ok(Redirect::to(&format!("{back}/secret")).into_response())
        }
        Err(status) => {
            let mut errors = FormErrors::of_status(status)?;
            errors.note("Everything but the secret was saved.");
            page(&visit, &saved, input, errors, None).await
        }
    }
}

async fn page(
    visit: &Visit,
    endpoint: &v1::Endpoint,
    input: EditInput,
    errors: FormErrors,
    conflict: Option<Vec<Difference>>,
) -> Page {
    let event_types = visit.event_types().await?;
    let code = errors.status_code();
    let overlaps = OVERLAPS.map(|(hours, name)| SelectOption::new(hours, name, &input.overlap));
    let page = EditPage {
        frame: visit.frame(Section::Webhooks),
        id: endpoint.id.clone(),
        title: endpoint.display_name.clone(),
        etag: endpoint.etag.clone(),
        categories: categories(event_types, &input.form.endpoint.event_types),
        formats: input.form.payload.choices(),
        previewed: previewed(event_types, &input.form.payload.preview_of),
        preview: input.preview,
        form: input.form,
        errors,
        overlaps: overlaps.to_vec(),
        conflict,
    };
    Ok((code, render(&page)?).into_response())
}

fn overlap(hours: &str) -> Duration {
    let known = OVERLAPS.iter().any(|(value, _)| *value == hours);
    let hours = if known { hours } else { DEFAULT_OVERLAP };
    Duration::from_secs(hours.parse::<u64>().unwrap_or(24) * 3_600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_is_one_of_those_that_are_offered() {
        assert_eq!(overlap("0"), Duration::ZERO);
        assert_eq!(overlap("168"), Duration::from_secs(7 * 24 * 3_600));
        assert_eq!(overlap("99999999999999"), Duration::from_secs(24 * 3_600));
    }
}
