//! The form of an endpoint: what was typed, and its errors.

use std::collections::BTreeSet;

use keeptrusts_webhooks_contracts::api::CreateEndpoint;
use keeptrusts_webhooks_contracts::v1;

use super::form_errors::FormErrors;
use super::payload::PayloadForm;
use crate::confidential::Confidential;
use crate::fields::Fields;
use crate::view;

/// The values of the fields.
#[derive(Default)]
pub(crate) struct EndpointForm {
    /// The configuration without the payload format. For an existing endpoint also its id, and its
    /// etag when the form was opened.
    pub(crate) endpoint: v1::Endpoint,
    pub(crate) secret: Confidential,
    pub(crate) payload: PayloadForm,
}

/// A field whose value in the form differs from the endpoint's.
pub(crate) struct Difference {
    pub(crate) field: &'static str,
    pub(crate) current: String,
}

impl EndpointForm {
    /// Reads a form. A category that was checked stands for all its event types.
    pub(crate) fn read(fields: &Fields, event_types: &[v1::EventType]) -> EndpointForm {
        let checked: BTreeSet<&str> = fields.all("categories").collect();
        let whole = event_types.iter().filter(|of| checked.contains(of.category.as_str()));
        let whole = whole.map(|event_type| event_type.id.as_str());
        let chosen: BTreeSet<&str> = fields.all("event_types").chain(whole).collect();
        EndpointForm {
            endpoint: v1::Endpoint {
                etag: fields.get("etag").to_owned(),
                display_name: fields.get("display_name").to_owned(),
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
        let names = event_types.iter().map(|event_type| event_type.id.clone());
        self.endpoint.event_types = names.collect();
    }

    pub(crate) fn of(endpoint: &v1::Endpoint) -> EndpointForm {
        EndpointForm {
            endpoint: endpoint.clone(),
            secret: Confidential::default(),
            payload: PayloadForm::of(endpoint),
        }
    }

    /// The endpoint that the form describes, without its secret.
    pub(crate) fn endpoint(&self) -> v1::Endpoint {
        v1::Endpoint {
            payload_format: self.payload.format().into(),
            payload_template: self.payload.sent_template(),
            routing_key: self.payload.sent_routing_key(),
            ..self.endpoint.clone()
        }
    }

    /// The endpoint to create.
    pub(crate) fn new_endpoint(&self) -> v1::Endpoint {
        v1::Endpoint { secret: self.secret.expose().to_owned(), ..self.endpoint() }
    }

    /// Checks a new endpoint by the API's own rules.
    pub(crate) fn check(&self) -> FormErrors {
        let mut errors = FormErrors::default();
        if self.endpoint.event_types.is_empty() {
            errors.add("event_types", "Choose at least one event type.".to_owned());
        }
        if let Err(violations) = CreateEndpoint::try_from(v1::CreateEndpointRequest {
            organization_id: String::new(), // not in the form
            endpoint: Some(self.new_endpoint()),
            ..Default::default()
        }) {
            let violations = violations.into_vec().into_iter();
            errors.add_known(violations.map(|of| (of.field, of.description)));
        }
        errors
    }

    /// The differences from an endpoint that somebody else has changed.
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
        ("Name", endpoint.display_name.clone()),
        ("URL", endpoint.url.clone()),
        ("Description", endpoint.description.clone()),
        ("Event types", event_types.join(", ")),
        ("Payload format", view::payload::name(view::payload::kind_of(endpoint)).to_owned()),
        ("Template", endpoint.payload_template.clone()),
    ]
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
        let v1::EventType { id: name, category, description, sample_data_json: _ } =
            event_type.clone();
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
    use askama::Template;
    use keeptrusts_webhooks_domain::endpoint_config::EndpointConfig;
    use keeptrusts_webhooks_domain::payload_format::PayloadKind;

    use super::*;

    /// The fields that are typed as text, in the templates that the pages of both forms include.
    #[derive(Template)]
    #[template(
        ext = "html",
        source = r#"{% include "parts/configuration_fields.html" %}{% include "parts/text_fields.html" %}"#
    )]
    struct TypedFields {
        form: EndpointForm,
        errors: FormErrors,
    }

    #[test]
    fn every_field_of_a_configuration_is_in_the_form_and_on_the_page() {
        // Of these two, which are chosen, there are tests of their own.
        let is_typed = |field: &&&str| !["event_types", "payload_format"].contains(*field);
        for field in EndpointConfig::FIELDS.iter().filter(is_typed) {
            let form = EndpointForm::read(&Fields::parse(format!("{field}=typed").as_bytes()), &[]);
            let read = format!("{field}: \"typed\"");
            assert!(format!("{:?}", form.endpoint).contains(&read), "{field} is not read");
            let differences = form.differences(&v1::Endpoint::default());
            assert_eq!(differences.len(), 1, "{field} is not compared with what is saved");
            let mut errors = FormErrors::default();
            errors.add_known([((*field).to_owned(), "is wrong".to_owned())]);
            assert!(errors.of(field).is_some(), "{field} has no place for its error");
            let rendered = TypedFields { form, errors }.render().expect("renders");
            assert!(rendered.contains(&format!("name=\"{field}\"")), "{field} cannot be typed");
            assert!(rendered.contains("typed"), "{field} is not kept in the form");
            assert!(rendered.contains("is wrong"), "the error of {field} is not shown");
            let page = include_str!("../../templates/endpoint.html");
            assert!(page.contains(&format!("endpoint.{field}")), "{field} is not on the page");
        }
    }

    fn good() -> EndpointForm {
        EndpointForm {
            endpoint: v1::Endpoint {
                display_name: "siem".to_owned(),
                url: "https://siem.example/hook".to_owned(),
                event_types: vec!["policy.block".to_owned()],
                ..Default::default()
            },
            ..EndpointForm::default()
        }
    }

    #[test]
    fn each_field_has_its_own_error() {
        assert_eq!(good().check(), FormErrors::default());
        let endpoint =
            v1::Endpoint { url: "http://siem.example".to_owned(), ..v1::Endpoint::default() };
        let bad = EndpointForm { endpoint, secret: "short".to_owned().into(), ..good() };
        let mut errors = bad.check();
        assert!(errors.of("display_name").is_some_and(|text| text.starts_with("Name is required")));
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
        let endpoint = form.new_endpoint();
        assert_eq!((endpoint.payload_template, endpoint.routing_key), Default::default());
    }

    #[test]
    fn a_second_admin_sees_the_changes_of_the_first() {
        let current = v1::Endpoint {
            display_name: "siem".to_owned(),
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
    fn a_secret_that_standard_webhooks_rejects_is_an_error_in_the_form() {
        for secret in ["whsec_correct horse battery staple", "whsk_correct horse battery staple"] {
            let errors = EndpointForm { secret: secret.to_owned().into(), ..good() }.check();
            assert!(
                errors.of("secret").is_some_and(|text| text.contains("give whsec_")),
                "{secret}"
            );
        }
    }

    fn event_types() -> Vec<v1::EventType> {
        let event_type = |(name, category): (&str, &str)| v1::EventType {
            id: name.to_owned(),
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
