//! What is wrong with a form, beside the field or above the form.

use std::collections::BTreeMap;

use http::StatusCode;
use keeptrusts_webhooks_domain::violation::Violation;
use tonic::Status;
use tonic_types::StatusExt;

use crate::error_page::{ErrorPage, SERVICE_UNAVAILABLE};

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FormErrors {
    fields: BTreeMap<String, String>,
    /// Belongs to no field.
    general: Option<String>,
}

impl FormErrors {
    /// The fields of our forms, with their labels in errors. A field has the name that the API gives it.
    /// Errors about other fields are shown above the form.
    const FIELDS: &[(&str, &str)] = &[
        ("display_name", "Name"),
        ("url", "URL"),
        ("description", "Description"),
        ("secret", "Secret"),
        ("event_types", "The selection"),
        ("payload_format", "Format"),
        ("payload_template", "Template"),
        ("routing_key", "Routing key"),
        ("role", "Role"),
        ("ttl", "Its life"),
        ("recipients", "An address"),
        ("subscriptions", "The selection"),
        ("endpoint_ids", "An id"),
        ("region", "region"),
    ];

    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.general.is_none()
    }

    /// For the template: a sentence, or nothing.
    pub(crate) fn of(&self, field: &str) -> Option<&str> {
        self.fields.get(field).map(String::as_str)
    }

    /// For the template: the sentence above the form.
    pub(crate) fn general(&self) -> Option<&str> {
        self.general.as_deref()
    }

    /// Whether the errors belong to the first step of two.
    pub(crate) fn is_about_configuration(&self) -> bool {
        self.fields.keys().any(|field| field != "event_types")
    }

    pub(crate) fn status_code(&self) -> StatusCode {
        match self.general {
            Some(_) => StatusCode::SERVICE_UNAVAILABLE,
            None if self.fields.is_empty() => StatusCode::OK,
            None => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    pub(crate) fn check<T>(&mut self, checked: Result<T, Violation>) {
        if let Err(violation) = checked {
            self.add_violation(&violation.field, &violation.description);
        }
    }

    /// The errors of a form that a service has refused. What was typed is kept, unless the thing
    /// that the form edits no longer exists.
    pub(crate) fn of_status(status: Status) -> Result<FormErrors, ErrorPage> {
        let mut errors = FormErrors::default();
        let details = status.get_details_bad_request();
        let violations = details.into_iter().flat_map(|details| details.field_violations);
        errors.add_known(violations.map(|of| (of.field, of.description)));
        if errors.is_empty() {
            errors.general = Some(match ErrorPage::from(status) {
                error @ (ErrorPage::NotFound | ErrorPage::SessionEnded | ErrorPage::NotAllowed) => {
                    return Err(error);
                }
                ErrorPage::Refused(text) => text,
                ErrorPage::ServiceUnavailable => SERVICE_UNAVAILABLE.to_owned(),
                _ => "Something went wrong, and was logged.".to_owned(),
            });
        }
        Ok(errors)
    }

    /// Adds a sentence above the form.
    pub(crate) fn note(&mut self, text: &str) {
        let said = self.general.take().map(|said| format!(" {said}")).unwrap_or_default();
        self.general = Some(format!("{text}{said}"));
    }

    /// Sets a field's error, unless it has one.
    pub(crate) fn add(&mut self, field: &str, sentence: String) {
        self.fields.entry(field.to_owned()).or_insert(sentence);
    }

    /// Drops a field's error: it need not be right yet.
    pub(crate) fn ignore(&mut self, field: &str) {
        self.fields.remove(field);
    }

    /// Adds errors of those API fields that forms have: their paths, and what is wrong.
    pub(super) fn add_known(&mut self, violations: impl IntoIterator<Item = (String, String)>) {
        for (field, description) in violations {
            // `endpoint.event_types[2]` and `channel.email.recipients[0]` are the form's fields
            // without the index.
            let field = field.split('[').next().unwrap_or_default();
            let field = field.rsplit('.').next().unwrap_or(field);
            if FormErrors::FIELDS.iter().any(|(known, _)| *known == field) {
                self.add_violation(field, &description);
            }
        }
    }

    fn add_violation(&mut self, field: &str, description: &str) {
        self.add(field, format!("{} {description}.", label(field)));
    }
}

/// A field's label on the page.
fn label(field: &str) -> &str {
    let known = FormErrors::FIELDS.iter().find(|(known, _)| *known == field);
    known.map_or(field, |(_, label)| label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_finds_wrong_stands_beside_the_field() {
        let status = keeptrusts_webhooks_contracts::status::invalid_argument(vec![
            Violation::unknown_value("endpoint.event_types[1]", "is not an event type"),
        ]);
        let errors = FormErrors::of_status(status).expect("field violations");
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
            let errors = FormErrors::of_status(status).expect("the form is kept");
            assert_eq!(errors.of("routing_key"), Some("Routing key must be given again."));
            assert_eq!((errors.general(), errors.status_code().as_u16()), (None, 422));
        }
    }

    #[test]
    fn how_long_a_key_is_to_live_is_called_its_life() {
        let status =
            keeptrusts_webhooks_contracts::status::invalid_argument(vec![Violation::out_of_range(
                "ttl",
                "must end with the key that makes it",
            )]);
        let errors = FormErrors::of_status(status).expect("field violations");
        assert_eq!(errors.of("ttl"), Some("Its life must end with the key that makes it."));
        assert_eq!((errors.general(), errors.status_code().as_u16()), (None, 422));
    }

    #[test]
    fn what_no_field_is_to_blame_for_stands_above_the_form() {
        let away = FormErrors::of_status(Status::unavailable("no")).expect("the form is kept");
        assert_eq!(away.general(), Some(SERVICE_UNAVAILABLE));
        assert_eq!(away.status_code(), StatusCode::SERVICE_UNAVAILABLE);
        let status = keeptrusts_webhooks_contracts::status::invalid_argument(vec![
            Violation::unknown_value("update_mask", "is not for us"),
        ]);
        let unknown = FormErrors::of_status(status).expect("the form is kept");
        assert!(unknown.general().is_some() && !unknown.is_about_configuration());
        assert!(FormErrors::of_status(Status::not_found("no")).is_err());
    }
}
