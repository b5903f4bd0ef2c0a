//! The form of an endpoint: what was typed, and what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::endpoint::check_url;
use keeptrusts_webhooks_domain::endpoint_config::{
    check_description, check_event_types, check_name,
};
use keeptrusts_webhooks_domain::secret::Secret;
use keeptrusts_webhooks_domain::violation::Violation;
use tonic::Status;
use tonic_types::StatusExt;

use super::payload::PayloadForm;
use crate::confidential::Confidential;
use crate::fields::Fields;
use crate::trouble::{SERVICE_AWAY, Trouble};

/// What stands in the fields.
#[derive(Default)]
pub(crate) struct EndpointForm {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) description: String,
    pub(crate) secret: Confidential,
    pub(crate) event_types: BTreeSet<String>,
    pub(crate) payload: PayloadForm,
}

impl EndpointForm {
    /// What was typed. A category that was checked stands for all event types in it.
    pub(crate) fn read(fields: &Fields, event_types: &[v1::EventType]) -> EndpointForm {
        let checked: BTreeSet<&str> = fields.all("categories").collect();
        let whole = event_types.iter().filter(|of| checked.contains(of.category.as_str()));
        let whole = whole.map(|event_type| event_type.name.as_str());
        EndpointForm {
            name: fields.get("name").to_owned(),
            url: fields.get("url").trim().to_owned(),
            // Browsers send lines with CR LF (HTML, "form-urlencoded").
            description: fields.get("description").replace("\r\n", "\n"),
            secret: fields.get("secret").to_owned().into(),
            event_types: fields.all("event_types").chain(whole).map(str::to_owned).collect(),
            payload: PayloadForm::read(fields),
        }
    }

    pub(crate) fn select_all(&mut self, event_types: &[v1::EventType]) {
        self.event_types = event_types.iter().map(|event_type| event_type.name.clone()).collect();
    }

    pub(crate) fn of(endpoint: &v1::Endpoint) -> EndpointForm {
        EndpointForm {
            name: endpoint.name.clone(),
            url: endpoint.url.clone(),
            description: endpoint.description.clone(),
            secret: Confidential::default(),
            event_types: endpoint.event_types.iter().cloned().collect(),
            payload: PayloadForm::of(endpoint),
        }
    }

    /// Name, URL and description, by the API's own rules.
    pub(crate) fn check_configuration(&self, errors: &mut Errors) {
        errors.check(check_name("name", self.name.clone()));
        errors.check(check_url("url", &self.url));
        errors.check(check_description("description", self.description.clone()));
    }

    /// The secret. Empty is for the page to explain: a new one is made, or the old one stays.
    pub(crate) fn check_secret(&self, errors: &mut Errors) {
        if !self.secret.is_empty() {
            errors.check(Secret::new(self.secret.expose().to_owned()));
        }
    }

    pub(crate) fn check_event_types(&self, errors: &mut Errors) {
        if self.event_types.is_empty() {
            return errors.add("event_types", "Choose at least one event type.".to_owned());
        }
        let names: Vec<String> = self.event_types.iter().cloned().collect();
        if let Err(violations) = check_event_types("event_types", &names) {
            errors.add_all(violations.into_iter().take(1));
        }
    }
}

/// What is wrong with what was typed, by field; and what is wrong besides.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Errors {
    fields: BTreeMap<String, String>,
    /// No field's fault.
    general: Option<String>,
}

impl Errors {
    /// The fields of the API that our forms have, and what they are called there; what else a
    /// service may complain about has no place beside a field.
    const FIELDS: [(&str, &str); 14] = [
        ("name", "name"),
        ("url", "url"),
        ("description", "description"),
        ("secret", "secret"),
        ("event_types", "event_types"),
        ("payload_format", "payload_format"),
        ("payload_template", "payload_template"),
        ("routing_key", "routing_key"),
        ("role", "role"),
        ("time_to_live", "life"),
        ("recipients", "recipients"),
        ("subscriptions", "subscriptions"),
        ("endpoint_ids", "endpoint_ids"),
        ("region", "region"),
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
        for violation in violations {
            // Of `endpoint.event_types[2]` and `channel.email.recipients[0]`, the form's fields.
            let field = violation.field.split('[').next().unwrap_or_default();
            let field = field.rsplit('.').next().unwrap_or(field);
            if let Some((_, ours)) = Errors::FIELDS.iter().find(|(known, _)| *known == field) {
                errors.add_all([Violation::new(*ours, violation.description)]);
            }
        }
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

    pub(crate) fn add_all(&mut self, violations: impl IntoIterator<Item = Violation>) {
        for Violation { field, description } in violations {
            let sentence = format!("{} {description}.", label(&field));
            self.add(&field, sentence);
        }
    }
}

/// What a field is called on the page.
fn label(field: &str) -> &str {
    match field {
        "name" => "Name",
        "url" => "URL",
        "description" => "Description",
        "secret" => "Secret",
        "payload_format" => "Format",
        "payload_template" => "Template",
        "routing_key" => "Routing key",
        "role" => "Role",
        "life" => "Its life",
        "event_types" | "subscriptions" => "The selection",
        "recipients" => "An address",
        "endpoint_ids" => "An id",
        other => other,
    }
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
pub(crate) fn categories(
    event_types: &[v1::EventType],
    selected: &BTreeSet<String>,
) -> Vec<Category> {
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
    use super::*;

    fn errors(form: &EndpointForm) -> Errors {
        let mut errors = Errors::default();
        form.check_configuration(&mut errors);
        form.check_secret(&mut errors);
        form.check_event_types(&mut errors);
        errors
    }

    fn good() -> EndpointForm {
        EndpointForm {
            name: "siem".to_owned(),
            url: "https://siem.example/hook".to_owned(),
            event_types: BTreeSet::from(["policy.block".to_owned()]),
            ..EndpointForm::default()
        }
    }

    #[test]
    fn each_field_is_told_what_is_wrong_with_it() {
        assert_eq!(errors(&good()), Errors::default());
        let bad = EndpointForm {
            name: String::new(),
            url: "http://siem.example".to_owned(),
            secret: "short".to_owned().into(),
            event_types: BTreeSet::new(),
            ..good()
        };
        let errors = errors(&bad);
        assert!(errors.of("name").is_some_and(|text| text.starts_with("Name is required")));
        assert!(errors.of("url").is_some_and(|text| text.contains("https")));
        assert_eq!(errors.of("secret"), Some("Secret is 5 bytes; it must be 16 to 256."));
        assert!(errors.of("event_types").is_some());
        assert_eq!(errors.of("description"), None);
    }

    #[test]
    fn a_secret_that_standard_webhooks_would_not_take_is_told_before_it_is_sent() {
        for secret in ["whsec_correct horse battery staple", "whsk_correct horse battery staple"] {
            let errors = errors(&EndpointForm { secret: secret.to_owned().into(), ..good() });
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
        assert!(form.event_types.iter().eq(["a.one", "a.two", "b.one"]));
    }

    #[test]
    fn event_types_stand_below_their_category() {
        let selected = BTreeSet::from(["a.two".to_owned()]);
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
