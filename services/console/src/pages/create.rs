//! Create Webhook: two steps, then the secret.

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::payload_format::PayloadKind;
use keeptrusts_webhooks_domain::secret::Secret;
use tonic::Status;

use super::form::{Category, EndpointForm, categories};
use super::form_errors::FormErrors;
use super::page::{Page, render};
use super::payload::{self, FormatChoice, Preview};
use super::visit::Visit;
use crate::confidential::Confidential;
use crate::error_page::ErrorPage;
use crate::fields::Fields;
use crate::flash::NewSecret;
use crate::session::random;
use crate::view::SelectOption;
use crate::view::endpoint::EndpointView;
use crate::view::frame::{Frame, Section};

#[derive(Template)]
#[template(path = "create_configuration.html")]
struct ConfigurationStep {
    frame: Frame,
    form: EndpointForm,
    errors: FormErrors,
    formats: Vec<FormatChoice>,
    previewed: Vec<SelectOption>,
    preview: Option<Preview>,
}

#[derive(Template)]
#[template(path = "create_event_types.html")]
struct EventTypesStep {
    frame: Frame,
    name: String,
    /// The fields of the first step, as they were typed.
    configuration: Vec<(String, Confidential)>,
    errors: FormErrors,
    categories: Vec<Category>,
}

#[derive(Template)]
#[template(path = "secret.html")]
struct SecretPage {
    frame: Frame,
    title: String,
    endpoint: EndpointView,
    /// None: it has been shown before.
    secret: Option<ShownSecret>,
    snippets: [Snippet; 3],
}

/// A secret that is shown once.
struct ShownSecret {
    secret: Confidential,
    /// The form that Standard Webhooks libraries expect. None: it is the secret itself.
    standard: Option<Confidential>,
}

impl From<NewSecret> for ShownSecret {
    fn from(new: NewSecret) -> ShownSecret {
        let secret = Secret::opened(new.secret.as_str().to_owned());
        let standard = secret.standard_form();
        ShownSecret {
            secret: secret.expose().to_owned().into(),
            standard: (standard.as_str() != secret.expose()).then(|| standard.to_string().into()),
        }
    }
}

/// Verification code in a receiver's language.
pub(crate) struct Snippet {
    pub(crate) language: &'static str,
    pub(crate) code: &'static str,
}

/// docs/receiving.md shows the same.
const SNIPPETS: [Snippet; 3] = [
    Snippet { language: "Node", code: include_str!("../../snippets/verify.js") },
    Snippet { language: "Python", code: include_str!("../../snippets/verify.py") },
    Snippet { language: "Rust", code: include_str!("../../snippets/verify.rs") },
];

pub(crate) async fn show(visit: Visit) -> Page {
    let form = EndpointForm { secret: generated().into(), ..EndpointForm::default() };
    configuration_step(&visit, form, FormErrors::default()).await
}

pub(crate) async fn submit(visit: Visit, fields: Fields) -> Page {
    let event_types = match visit.event_types().await {
        Ok(event_types) => event_types,
        Err(status) => {
            let form = EndpointForm::read(&fields, &[]);
            return configuration_step(&visit, form, FormErrors::of_status(status)?).await;
        }
    };
    let mut form = EndpointForm::read(&fields, event_types);
    let mut errors = FormErrors::default();
    match fields.get("action") {
        "generate" => {
            form.secret = generated().into();
            return configuration_step(&visit, form, errors).await;
        }
        "back" => return configuration_step(&visit, form, errors).await,
        "preview" => {
            let preview = payload::preview(&visit, &form.payload, &mut errors).await?;
            return configuration_page(&visit, form, errors, preview).await;
        }
        _ => {}
    }
    // On the second step too: its hidden fields may have been changed.
    errors = form.check();
    errors.ignore("event_types");
    if errors.is_empty() && form.payload.kind == PayloadKind::Custom {
        // A template that fails is reported here, not after the second step.
        payload::preview(&visit, &form.payload, &mut errors).await?;
    }
    if !errors.is_empty() {
        return configuration_step(&visit, form, errors).await;
    }
    match fields.get("action") {
        "select-all" => {
            form.select_all(event_types);
            event_types_step(&visit, &fields, form, errors, event_types)
        }
        "create" => create(&visit, &fields, form, event_types).await,
        // "next", and Enter in a field.
        _ => event_types_step(&visit, &fields, form, errors, event_types),
    }
}

async fn create(
    visit: &Visit,
    fields: &Fields,
    form: EndpointForm,
    event_types: &[v1::EventType],
) -> Page {
    let errors = form.check();
    if !errors.is_empty() {
        return event_types_step(visit, fields, form, errors, event_types);
    }
    let endpoint = form.new_endpoint();
    // Goes on if the browser disconnects: the secret of the endpoint must be kept.
    let creating = tokio::spawn({
        let visit = visit.clone();
        async move {
            let created = visit.organization().create_endpoint(endpoint).await?;
            let id = created.endpoint.unwrap_or_default().id;
            visit.keep_secret(&id, created.secret);
            Ok::<_, Status>(id)
        }
    });
    match creating.await.map_err(|_| ErrorPage::Internal)? {
        Ok(id) => Ok(Redirect::to(&format!("/webhooks/{id}/created")).into_response()),
        Err(status) => match FormErrors::of_status(status)? {
            errors if errors.is_about_configuration() => {
                configuration_step(visit, form, errors).await
            }
            errors => event_types_step(visit, fields, form, errors, event_types),
        },
    }
}

/// After a redirect, so that a reload creates nothing. The secret is shown the first time only.
pub(crate) async fn created(visit: Visit, Path(endpoint): Path<String>) -> Page {
    show_secret(&visit, &endpoint, |name| format!("{name} is ready")).await
}

/// The same after the secret was replaced.
pub(crate) async fn new_secret(visit: Visit, Path(endpoint): Path<String>) -> Page {
    show_secret(&visit, &endpoint, |name| format!("{name} has a new secret")).await
}

async fn show_secret(visit: &Visit, id: &str, title: fn(&str) -> String) -> Page {
    let endpoint = EndpointView::of(visit.organization().endpoint(id).await?);
    let title = title(&endpoint.display_name);
    let secret = visit.take_secret(&endpoint.id).map(ShownSecret::from);
    let frame = visit.frame(Section::Webhooks);
    render(&SecretPage { frame, title, endpoint, secret, snippets: SNIPPETS })
}

async fn configuration_step(visit: &Visit, form: EndpointForm, errors: FormErrors) -> Page {
    configuration_page(visit, form, errors, None).await
}

async fn configuration_page(
    visit: &Visit,
    form: EndpointForm,
    errors: FormErrors,
    preview: Option<Preview>,
) -> Page {
    // Without them there is no preview, but the form works.
    let event_types = visit.event_types().await.unwrap_or_default();
    let previewed = previewed(event_types, &form.payload.preview_of);
    let (frame, code) = (visit.frame(Section::Webhooks), errors.status_code());
    let formats = form.payload.choices();
    let page = ConfigurationStep { frame, form, errors, formats, previewed, preview };
    Ok((code, render(&page)?).into_response())
}

/// The samples to choose a preview from.
pub(crate) fn previewed(event_types: &[v1::EventType], chosen: &str) -> Vec<SelectOption> {
    let names = event_types.iter().map(|event_type| event_type.id.as_str());
    names.chain(["webhook.test"]).map(|name| SelectOption::new(name, name, chosen)).collect()
}

fn event_types_step(
    visit: &Visit,
    fields: &Fields,
    form: EndpointForm,
    errors: FormErrors,
    event_types: &[v1::EventType],
) -> Page {
    let (frame, code) = (visit.frame(Section::Webhooks), errors.status_code());
    let page = EventTypesStep {
        frame,
        name: form.endpoint.display_name,
        configuration: fields.without(&["csrf", "action", "categories", "event_types"]),
        errors,
        categories: categories(event_types, &form.endpoint.event_types),
    };
    Ok((code, render(&page)?).into_response())
}

/// In the form in which the API generates them.
pub(crate) fn generated() -> String {
    Secret::from_random(random()).expose().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_its_form_for_standard_webhooks_beside_it_if_that_is_another() {
        let shown = |secret: &str| {
            let new = NewSecret { of: "ep_1".to_owned(), secret: secret.to_owned().into() };
            ShownSecret::from(new).standard.map(|standard| standard.expose().to_owned())
        };
        assert_eq!(shown(&generated()), None);
        let standard = "whsec_Y29ycmVjdCBob3JzZSBiYXR0ZXJ5".to_owned();
        assert_eq!(shown("correct horse battery"), Some(standard));
    }

    #[test]
    fn the_page_for_receivers_shows_the_same_snippets() {
        let page = include_str!("../../../../docs/receiving.md");
        for snippet in SNIPPETS {
            assert!(page.contains(snippet.code.trim_end()), "{}", snippet.language);
        }
    }
}
