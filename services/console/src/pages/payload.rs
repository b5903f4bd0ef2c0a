//! The payload format in forms: the format, its own fields, and a preview.

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::payload_format::PayloadKind;

use super::form_errors::FormErrors;
use super::visit::Visit;
use crate::confidential::Confidential;
use crate::error_page::ErrorPage;
use crate::fields::Fields;
use crate::view::delivery::BodyText;
use crate::view::payload::{explanation, kind_of, name};

/// The values of the fields.
#[derive(Default, Clone)]
pub(crate) struct PayloadForm {
    pub(crate) kind: PayloadKind,
    pub(crate) template: String,
    pub(crate) routing_key: Confidential,
    /// The event type of the preview.
    pub(crate) preview_of: String,
}

/// A format in the select.
pub(crate) struct FormatChoice {
    pub(crate) value: &'static str,
    pub(crate) name: &'static str,
    pub(crate) explanation: &'static str,
    pub(crate) chosen: bool,
}

/// What a receiver would be sent.
pub(crate) struct Preview {
    pub(crate) event_type: String,
    pub(crate) content_type: String,
    pub(crate) size: i64,
    pub(crate) body: BodyText,
}

impl PayloadForm {
    pub(crate) fn read(fields: &Fields) -> PayloadForm {
        PayloadForm {
            // Only programs send a name that is not in the select.
            kind: fields.get("payload_format").parse().unwrap_or_default(),
            template: fields.lines("payload_template"),
            routing_key: fields.get("routing_key").trim().to_owned().into(),
            preview_of: fields.get("preview_of").to_owned(),
        }
    }

    pub(crate) fn of(endpoint: &v1::Endpoint) -> PayloadForm {
        PayloadForm {
            kind: kind_of(endpoint),
            template: endpoint.payload_template.clone(),
            routing_key: Confidential::default(),
            // A type that the endpoint subscribes to is more interesting than another one.
            preview_of: endpoint.event_types.first().cloned().unwrap_or_default(),
        }
    }

    pub(crate) fn format(&self) -> v1::PayloadFormat {
        self.kind.into()
    }

    /// The template, if the format has one. What is left in the field of another format is ignored.
    pub(crate) fn sent_template(&self) -> String {
        match self.kind {
            PayloadKind::Custom => self.template.clone(),
            _ => String::new(),
        }
    }

    /// The same for the routing key.
    pub(crate) fn sent_routing_key(&self) -> String {
        match self.kind {
            PayloadKind::PagerDuty => self.routing_key.expose().to_owned(),
            _ => String::new(),
        }
    }

    /// Whether to show the fields that belong to one format only.
    pub(crate) fn has_more(&self) -> bool {
        matches!(self.kind, PayloadKind::Custom | PayloadKind::PagerDuty)
    }

    pub(crate) fn choices(&self) -> Vec<FormatChoice> {
        let choice = |kind: PayloadKind| FormatChoice {
            value: kind.name(),
            name: name(kind),
            explanation: explanation(kind),
            chosen: kind == self.kind,
        };
        PayloadKind::ALL.iter().copied().map(choice).collect()
    }
}

/// Renders a sample in the chosen format. Errors go beside their fields.
pub(crate) async fn preview(
    visit: &Visit,
    form: &PayloadForm,
    errors: &mut FormErrors,
) -> Result<Option<Preview>, ErrorPage> {
    let event_type = match form.preview_of.as_str() {
        "" => "webhook.test",
        event_type => event_type,
    };
    let request = v1::PreviewPayloadRequest {
        payload_format: form.format().into(),
        payload_template: form.sent_template(),
        event_type: event_type.to_owned(),
        ..Default::default()
    };
    match visit.organization().preview_payload(request).await {
        Ok(made) => Ok(Some(Preview {
            event_type: event_type.to_owned(),
            content_type: made.content_type,
            size: made.size_bytes,
            body: BodyText::complete(&made.body),
        })),
        Err(status) => {
            *errors = FormErrors::of_status(status)?;
            Ok(None)
        }
    }
}
