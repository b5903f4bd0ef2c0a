//! The form of an endpoint: what was typed, and what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use keeptrusts_webhooks_contracts::api::CreateEndpoint;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::violation::Violation;
use tonic::Status;
use tonic_types::StatusExt;

use super::payload::PayloadForm;
use crate::confidential::Confidential;
use crate::fields::Fields;
use crate::trouble::{SERVICE_AWAY, Trouble};
use crate::view;

/// What stands in the fields.
#[derive(Default)]
pub(crate) struct EndpointForm {
    /// The configuration, but for the payload format; of an endpoint that exists, its id, and the
    /// etag that it had when the form was opened.
    pub(crate) endpoint: v1::Endpoint,
    pub(crate) secret: Confidential,
    pub(crate) payload: PayloadForm,
}

/// A field that has another value in the form than in the endpoint.
pub(crate) struct Difference {
    pub(crate) field: &'static str,
    pub(crate) current: String,
}

impl EndpointForm {
    /// What was typed. A category that was checked stands for all event types in it.
    pub(crate) fn read(fields: &Fields, event_types: &[v1::EventType]) -> EndpointForm {
        let checked: BTreeSet<&str> = fields.all("categories").collect();
        let whole = event_types.iter().filter(|of| checked.contains(of.category.as_str()));
        let whole = whole.map(|event_type| event_type.name.as_str());
        let chosen: BTreeSet<&str> = fields.all("event_types").chain(whole).collect();
        EndpointForm {
            endpoint: v1::Endpoint {
                etag: fields.get("etag").to_owned(),
                name: fields.get("name").to_owned(),
                url: fields.get("url").trim().to_owned(),
                description: fields.lines("description"),
                event_types: chosen.into_iter().map(str::to_owned).collect(),
                ..Default::default()
            },
            secret: fields.get("secret").to_owned().into(),
            payload: PayloadForm::read(fields),
        }
    }

    pub(crate) fn select_all(&mut self, event_types: &[v1::EventType]) {
        let names = event_types.iter().map(|event_type| event_type.name.clone());
        self.endpoint.event_types = names.collect();
    }

    pub(crate) fn of(endpoint: &v1::Endpoint) -> EndpointForm {
        EndpointForm {
            endpoint: endpoint.clone(),
            secret: Confidential::default(),
            payload: PayloadForm::of(endpoint),
        }
    }

    /// The endpoint that it describes.
    pub(crate) fn endpoint(&self) -> v1::Endpoint {
        v1::Endpoint {
            payload_format: self.payload.format().into(),
            payload_template: self.payload.sent_template(),
            ..self.endpoint.clone()
        }
    }

    /// The request that creates it.
    pub(crate) fn request(&self) -> v1::CreateEndpointRequest {
        v1::CreateEndpointRequest {
            secret: self.secret.expose().to_owned(),
            routing_key: self.payload.sent_routing_key(),
            ..self.endpoint().into()
        }
    }

    /// What is wrong with a new endpoint, by the API's own rules.
    pub(crate) fn check(&self) -> Errors {
        let mut errors = Errors::default();
        if self.endpoint.event_types.is_empty() {
            errors.add("event_types", "Choose at least one event type.".to_owned());
        }
        if let Err(violations) = CreateEndpoint::try_from(self.request()) {
            errors.add_known(violations.into_vec());
        }
        errors
    }

    /// What is different in an endpoint that somebody else has changed.
    pub(crate) fn differences(&self, current: &v1::Endpoint) -> Vec<Difference> {
        let pairs = texts(&self.endpoint()).into_iter().zip(texts(current));
        let different = pairs.filter(|(typed, current)| typed != current);
        different.map(|(_, (field, current))| Difference { field, current }).collect()
    }
}

/// The fields of a configuration as people read them.
fn texts(endpoint: &v1::Endpoint) -> Vec<(&'static str, String)> {
    let event_types: BTreeSet<&str> = endpoint.event_types.iter().map(String::as_str).collect();
    let event_types: Vec<&str> = event_types.into_iter().collect();
    vec![
        ("Name", endpoint.name.clone()),
        ("URL", endpoint.url.clone()),
        ("Description", endpoint.description.clone()),
        ("Event types", event_types.join(", ")),
        ("Payload format", view::payload::name(view::payload::kind_of(endpoint)).to_owned()),
        ("Template", endpoint.payload_template.clone()),
    ]
}

/// What is wrong with what was typed, by field; and what is wrong besides.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Errors {
    fields: BTreeMap<String, String>,
    /// No field's fault.
    general: Option<String>,
}

impl Errors {
    /// The fields of the API that our forms have, what they are called there, and on the page; what
    /// else a service may complain about has no place beside a field.
    const FIELDS: &[(&str, &str, &str)] = &[
        ("name", "name", "Name"),
        ("url", "url", "URL"),
        ("description", "description", "Description"),
        ("secret", "secret", "Secret"),
        ("event_types", "event_types", "The selection"),
        ("payload_format", "payload_format", "Format"),
        ("payload_template", "payload_template", "Template"),
        ("routing_key", "routing_key", "Routing key"),
        ("role", "role", "Role"),
        ("time_to_live", "life", "Its life"),
        ("recipients", "recipients", "An address"),
        ("subscriptions", "subscriptions", "The selection"),
        ("endpoint_ids", "endpoint_ids", "An id"),
        ("region", "region", "region"),
    ];

    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.general.is_none()
    }

    /// For the template: a sentence, or nothing.
    pub(crate) fn of(&self, field: &str) -> Option<&str> {
        self.fields.get(field).map(String::as_str)
    }

    /// For the template: what stands above the form.
    pub(crate) fn general(&self) -> Option<&str> {
        self.general.as_deref()
    }

    /// Whether it has to do with the first step of two.
    pub(crate) fn is_about_configuration(&self) -> bool {
        self.fields.keys().any(|field| field != "event_types")
    }

    /// The answer's.
    pub(crate) fn status_code(&self) -> StatusCode {
        match self.general {
            Some(_) => StatusCode::SERVICE_UNAVAILABLE,
            None if self.fields.is_empty() => StatusCode::OK,
            None => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    pub(crate) fn check<T>(&mut self, checked: Result<T, Violation>) {
        self.add_all(checked.err());
    }

    /// Why a service did not do what the form asks for. What was typed is kept, whatever it is,
    /// unless there is nothing that the form is about.
    pub(crate) fn of_status(status: Status) -> Result<Errors, Trouble> {
        let mut errors = Errors::default();
        let details = status.get_details_bad_request();
        let violations = details.into_iter().flat_map(|details| details.field_violations);
        errors.add_known(violations.map(|of| Violation::new(of.field, of.description)));
        if errors.is_empty() {
            errors.general = Some(match Trouble::from(status) {
                trouble @ (Trouble::NotFound | Trouble::SessionEnded | Trouble::NotAllowed) => {
                    return Err(trouble);
                }
                Trouble::Refused(text) => text,
                Trouble::Away => SERVICE_AWAY.to_owned(),
                _ => "Something went wrong, and was logged.".to_owned(),
            });
        }
        Ok(errors)
    }

    /// Says something more above the form.
    pub(crate) fn note(&mut self, text: &str) {
        let said = self.general.take().map(|said| format!(" {said}")).unwrap_or_default();
        self.general = Some(format!("{text}{said}"));
    }

    /// Says what is wrong with a field, unless something has been said about it.
    pub(crate) fn add(&mut self, field: &str, sentence: String) {
        self.fields.entry(field.to_owned()).or_insert(sentence);
    }

    /// Forgets what is wrong with a field: it need not be right yet.
    pub(crate) fn ignore(&mut self, field: &str) {
        self.fields.remove(field);
    }

    /// Says what is wrong with the fields of the API that forms have.
    fn add_known(&mut self, violations: impl IntoIterator<Item = Violation>) {
        for Violation { field, description } in violations {
            // Of `endpoint.event_types[2]` and `channel.email.recipients[0]`, the form's fields.
            let field = field.split('[').next().unwrap_or_default();
            let field = field.rsplit('.').next().unwrap_or(field);
            if let Some((_, ours, _)) = Errors::FIELDS.iter().find(|(known, ..)| *known == field) {
                self.add_all([Violation::new(*ours, description)]);
            }
        }
    }

    fn add_all(&mut self, violations: impl IntoIterator<Item = Violation>) {
        for Violation { field, description } in violations {
            let sentence = format!("{} {description}.", label(&field));
            self.add(&field, sentence);
        }
    }
}

/// What a field is called on the page.
fn label(field: &str) -> &str {
    let known = Errors::FIELDS.iter().find(|(_, ours, _)| *ours == field);
    known.map_or(field, |(.., label)| label)
}

/// A category of event types with its checkboxes.
pub(crate) struct Category {
    pub(crate) name: String,
    pub(crate) event_types: Vec<EventTypeBox>,
}

pub(crate) struct EventTypeBox {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) is_selected: bool,
}

/// The event types in their order, by category.
pub(crate) fn categories(event_types: &[v1::EventType], selected: &[String]) -> Vec<Category> {
    let mut categories: Vec<Category> = Vec::new();
    for event_type in event_types {
        let v1::EventType { name, category, description, sample_data_json: _ } = event_type.clone();
        if categories.last().is_none_or(|last| last.name != category) {
            categories.push(Category { name: category, event_types: Vec::new() });
        }
        if let Some(category) = categories.last_mut() {
            let is_selected = selected.contains(&name);
            category.event_types.push(EventTypeBox { name, description, is_selected });
        }
    }
    categories
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::payload_format::PayloadKind;

    use super::*;

    fn good() -> EndpointForm {
        EndpointForm {
            endpoint: v1::Endpoint {
                name: "siem".to_owned(),
                url: "https://siem.example/hook".to_owned(),
                event_types: vec!["policy.block".to_owned()],
                ..Default::default()
            },
            ..EndpointForm::default()
        }
    }

    #[test]
    fn each_field_is_told_what_is_wrong_with_it() {
        assert_eq!(good().check(), Errors::default());
        let endpoint =
            v1::Endpoint { url: "http://siem.example".to_owned(), ..v1::Endpoint::default() };
        let bad = EndpointForm { endpoint, secret: "short".to_owned().into(), ..good() };
        let mut errors = bad.check();
        assert!(errors.of("name").is_some_and(|text| text.starts_with("Name is required")));
        assert!(errors.of("url").is_some_and(|text| text.contains("https")));
        assert_eq!(errors.of("secret"), Some("Secret is 5 bytes; it must be 16 to 256."));
        assert_eq!(errors.of("event_types"), Some("Choose at least one event type."));
        assert_eq!((errors.of("description"), errors.general()), (None, None));
        errors.ignore("event_types");
        assert_eq!(errors.of("event_types"), None, "it is asked for in the next step");
    }

    #[test]
    fn what_a_format_needs_is_asked_for_beside_its_field() {
        let with = |payload| EndpointForm { payload, ..good() }.check();
        let custom = PayloadForm { kind: PayloadKind::Custom, ..PayloadForm::default() };
        let errors = with(custom);
        assert!(errors.of("payload_template").is_some_and(|text| text.starts_with("Template is")));
        let alert = PayloadForm { kind: PayloadKind::PagerDuty, ..PayloadForm::default() };
        assert!(with(alert.clone()).of("routing_key").is_some());
        let short = PayloadForm { routing_key: "0123".to_owned().into(), ..alert };
        assert!(with(short).of("routing_key").is_some_and(|text| text.contains("32")));
    }

    #[test]
    fn what_is_left_in_the_fields_of_other_formats_is_not_sent() {
        let payload = PayloadForm {
            kind: PayloadKind::Slack,
            template: "{}".to_owned(),
            routing_key: "short".to_owned().into(),
            preview_of: String::new(),
        };
        let form = EndpointForm { payload, ..good() };
        assert!(form.check().is_empty());
        let request = form.request();
        assert_eq!((request.payload_template, request.routing_key), Default::default());
    }

    #[test]
    fn whoever_comes_second_sees_what_the_first_has_saved() {
        let current = v1::Endpoint {
            name: "siem".to_owned(),
            url: "https://new.example/".to_owned(),
            event_types: vec!["policy.block".to_owned(), "key.rotated".to_owned()],
            ..Default::default()
        };
        let mut form = EndpointForm::of(&current);
        form.endpoint.event_types.reverse();
        assert!(form.differences(&current).is_empty());
        form.endpoint.url = "https://mine.example/".to_owned();
        form.endpoint.event_types = vec!["policy.block".to_owned()];
        let found = form.differences(&current);
        let fields: Vec<_> = found.iter().map(|found| found.field).collect();
        assert_eq!(fields, ["URL", "Event types"]);
        assert_eq!(found[0].current, "https://new.example/");
        assert_eq!(found[1].current, "key.rotated, policy.block");
    }

    #[test]
    fn a_secret_that_standard_webhooks_would_not_take_is_told_before_it_is_sent() {
        for secret in ["whsec_correct horse battery staple", "whsk_correct horse battery staple"] {
            let errors = EndpointForm { secret: secret.to_owned().into(), ..good() }.check();
            assert!(
                errors.of("secret").is_some_and(|text| text.contains("give whsec_")),
                "{secret}"
            );
        }
    }

    #[test]
    fn what_a_service_finds_wrong_stands_beside_the_field() {
        let status = keeptrusts_webhooks_contracts::status::invalid_argument(vec![Violation::new(
            "endpoint.event_types[1]",
            "is not an event type",
        )]);
        let errors = Errors::of_status(status).expect("field violations");
        assert_eq!(errors.of("event_types"), Some("The selection is not an event type."));
        assert!(!errors.is_about_configuration());
    }

    #[test]
    fn a_credential_that_must_be_given_again_is_asked_for_in_its_field() {
        for field in ["routing_key", "channel.pagerduty.routing_key"] {
            let status = keeptrusts_webhooks_contracts::status::failed_precondition_credential(
                field,
                "must be given again",
            );
            let errors = Errors::of_status(status).expect("the form is kept");
            assert_eq!(errors.of("routing_key"), Some("Routing key must be given again."));
            assert_eq!((errors.general(), errors.status_code().as_u16()), (None, 422));
        }
    }

    #[test]
    fn how_long_a_key_is_to_live_has_a_field_of_another_name() {
        let status = keeptrusts_webhooks_contracts::status::invalid_argument(vec![Violation::new(
            "time_to_live",
            "must end with the key that makes it",
        )]);
        let errors = Errors::of_status(status).expect("field violations");
        assert_eq!(errors.of("life"), Some("Its life must end with the key that makes it."));
        assert_eq!((errors.general(), errors.status_code().as_u16()), (None, 422));
    }

    #[test]
    fn what_no_field_is_to_blame_for_stands_above_the_form() {
        let away = Errors::of_status(Status::unavailable("no")).expect("the form is kept");
        assert_eq!(away.general(), Some(SERVICE_AWAY));
        assert_eq!(away.status_code(), StatusCode::SERVICE_UNAVAILABLE);
        let status = keeptrusts_webhooks_contracts::status::invalid_argument(vec![Violation::new(
            "update_mask",
            "is not for us",
        )]);
        let unknown = Errors::of_status(status).expect("the form is kept");
        assert!(unknown.general().is_some() && !unknown.is_about_configuration());
        assert!(Errors::of_status(Status::not_found("no")).is_err());
    }

    fn event_types() -> Vec<v1::EventType> {
        let event_type = |(name, category): (&str, &str)| v1::EventType {
            name: name.to_owned(),
            category: category.to_owned(),
            description: String::new(),
            sample_data_json: String::new(),
        };
        [("a.one", "A"), ("a.two", "A"), ("b.one", "B")].map(event_type).into()
    }

    #[test]
    fn a_category_stands_for_all_of_its_event_types() {
        let fields = Fields::parse(b"event_types=b.one&categories=A");
        let form = EndpointForm::read(&fields, &event_types());
        assert_eq!(form.endpoint.event_types, ["a.one", "a.two", "b.one"]);
    }

    #[test]
    fn event_types_stand_below_their_category() {
        let selected = ["a.two".to_owned()];
        let found = categories(&event_types(), &selected);
        let found: Vec<_> = found
            .iter()
            .map(|category| {
                let boxes = category.event_types.iter();
                (category.name.as_str(), boxes.map(|found| found.is_selected).collect::<Vec<_>>())
            })
            .collect();
        assert_eq!(found, [("A", vec![false, true]), ("B", vec![false])]);
    }
}
