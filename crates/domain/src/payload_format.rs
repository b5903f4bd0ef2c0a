//! The payload formats: which body an endpoint's receiver gets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::FieldValue;
use crate::limits::{MAX_TEMPLATE_BYTES, ROUTING_KEY_CHARS};
use crate::named_enum::{NamedEnum, named_enum};
use crate::secret::{SealedSecret, Secret};
use crate::violation::Violation;

/// Makes the kinds and the formats of one list: each kind with its name, and the part that its format
/// carries.
macro_rules! payload_formats {
    ($(
        $(#[$about:meta])*
        $kind:ident = $name:literal $({
            $(#[$about_part:meta])*
            $part:ident: $type:ty, or $missing:ident
        })?,
    )*) => {
        named_enum! {
            /// The kind of a payload format, without its template or routing key.
            #[derive(Default)]
            pub enum PayloadKind {
                $($(#[$about])* $kind = $name,)*
            }
        }

        /// A payload format with the template or the routing key that its kind needs, and nothing else.
        /// `K` is PagerDuty's routing key: sealed in the log and the tables, a [`RoutingKey`] in requests,
        /// and `()` where it must not be seen.
        #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub enum PayloadFormat<K = SealedSecret> {
            $(
                $(#[$about])*
                #[serde(rename = $name)]
                $kind $({
                    $(#[$about_part])*
                    $part: $type,
                })?,
            )*
        }

        impl<K> PayloadFormat<K> {
            /// The format's kind.
            pub fn kind(&self) -> PayloadKind {
                match self {
                    $(PayloadFormat::$kind { .. } => PayloadKind::$kind,)*
                }
            }

            fn of_parts(
                kind: PayloadKind,
                parts: PayloadParts<K>,
            ) -> Result<PayloadFormat<K>, MissingPart> {
                Ok(match kind {
                    $(PayloadKind::$kind => PayloadFormat::$kind $({
                        $part: parts.$part.ok_or(MissingPart::$missing)?,
                    })?,)*
                })
            }
        }
    };
}

payload_formats! {
    /// Our own body: `event`, `timestamp` and `data`.
    #[default]
    Keeptrusts = "keeptrusts",
    /// A message for an incoming webhook of Slack.
    Slack = "slack",
    /// A card for a Workflows webhook of Microsoft Teams.
    Teams = "teams",
    /// An alert for PagerDuty's Events API v2.
    PagerDuty = "pagerduty" {
        /// The integration key of a PagerDuty service.
        routing_key: K, or RoutingKey
    },
    /// A CloudEvent 1.0 in structured mode.
    CloudEvents = "cloudevents",
    /// What the endpoint's template makes of the event.
    Custom = "custom" {
        /// The template. It compiled when it was set.
        template: String, or Template
    },
}

/// What a format may need besides its kind.
struct PayloadParts<K> {
    template: Option<String>,
    routing_key: Option<K>,
}

impl fmt::Display for PayloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that is not a payload format's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not a payload format")]
pub struct UnknownPayloadKind;

impl FromStr for PayloadKind {
    type Err = UnknownPayloadKind;

    fn from_str(name: &str) -> Result<Self, UnknownPayloadKind> {
        PayloadKind::from_name(name).ok_or(UnknownPayloadKind)
    }
}

/// A part that a kind of format needs and that was not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingPart {
    /// The template of the custom format.
    Template,
    /// The routing key of the pagerduty format.
    RoutingKey,
}

impl<K> PayloadFormat<K> {
    /// The format of this kind. It takes the part that its kind needs, and drops the other.
    pub fn new(
        kind: PayloadKind,
        template: Option<String>,
        routing_key: Option<K>,
    ) -> Result<PayloadFormat<K>, MissingPart> {
        PayloadFormat::of_parts(kind, PayloadParts { template, routing_key })
    }

    /// The template, if the format is custom.
    pub fn template(&self) -> Option<&str> {
        match self {
            PayloadFormat::Custom { template } => Some(template),
            _ => None,
        }
    }

    /// The routing key, if the format is pagerduty.
    pub fn routing_key(&self) -> Option<&K> {
        match self {
            PayloadFormat::PagerDuty { routing_key } => Some(routing_key),
            _ => None,
        }
    }

    /// The same format with another routing key. None if the format needs a key and `key` is None.
    pub fn with_key<L>(self, key: Option<L>) -> Option<PayloadFormat<L>> {
        let kind = self.kind();
        let template = match self {
            PayloadFormat::Custom { template } => Some(template),
            _ => None,
        };
        PayloadFormat::new(kind, template, key).ok()
    }
}

impl FieldValue for PayloadFormat {
    type Shown = PayloadFormat<()>;

    fn shown(&self) -> PayloadFormat<()> {
        let template = self.template().map(str::to_owned);
        // Nothing is missing: a format has its template.
        PayloadFormat::new(self.kind(), template, Some(())).unwrap_or_default()
    }
}

/// PagerDuty's integration key in clear: 32 letters and digits. Debug prints nothing of it.
/// <https://developer.pagerduty.com/docs/send-alert-event>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingKey(Secret);

impl RoutingKey {
    /// Checks that `text` has the form of a routing key.
    pub fn new(field: &str, text: String) -> Result<RoutingKey, Violation> {
        let fits = text.len() == ROUTING_KEY_CHARS
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let violation = || {
            let description = format!(
                "must be {ROUTING_KEY_CHARS} letters and digits: the integration key of an Events API v2 integration in PagerDuty"
            );
            Violation::invalid_format(field, description)
        };
        match fits {
            true => Ok(RoutingKey(Secret::opened(text))),
            false => Err(violation()),
        }
    }

    /// Asterisks, for previews of a body whose key must not be shown.
    pub fn placeholder() -> RoutingKey {
        RoutingKey(Secret::opened("*".repeat(ROUTING_KEY_CHARS)))
    }

    /// A key that was sealed, after opening it. It is not checked again.
    pub fn opened(secret: Secret) -> RoutingKey {
        RoutingKey(secret)
    }

    /// The key in clear. Only for sealing it, and for the body that PagerDuty gets.
    pub fn secret(&self) -> &Secret {
        &self.0
    }
}

/// New parts of a payload format. None: the part stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadPatch<K = SealedSecret> {
    /// The kind.
    pub kind: Option<PayloadKind>,
    /// The template. Empty: the template is removed.
    pub template: Option<String>,
    /// PagerDuty's routing key.
    pub routing_key: Option<K>,
}

impl<K> Default for PayloadPatch<K> {
    fn default() -> Self {
        PayloadPatch { kind: None, template: None, routing_key: None }
    }
}

/// The names of the fields in the request that is checked, for violations.
#[derive(Debug, Clone, Copy)]
pub struct PayloadFields {
    /// The template's field.
    pub template: &'static str,
    /// The routing key's field.
    pub routing_key: &'static str,
}

impl PayloadFields {
    /// The names in PreviewPayload.
    pub const TOP: PayloadFields =
        PayloadFields { template: "payload_template", routing_key: "routing_key" };
    /// The names in CreateEndpoint and UpdateEndpoint.
    pub const IN_ENDPOINT: PayloadFields = PayloadFields {
        template: "endpoint.payload_template",
        routing_key: "endpoint.routing_key",
    };
}

impl<K: Clone> PayloadPatch<K> {
    /// The format after the change. A part that the kind needs must be there. A part that the kind has
    /// no use for is refused, because whatever the user meant by it would be lost.
    pub fn resolve(
        self,
        current: &PayloadFormat<K>,
        fields: PayloadFields,
    ) -> Result<PayloadFormat<K>, Vec<Violation>> {
        let kind = self.kind.unwrap_or(current.kind());
        let given_template = self.template.clone().filter(|template| !template.is_empty());
        let mut violations = Vec::new();
        if kind != PayloadKind::Custom && given_template.is_some() {
            let description = format!(
                "is for the custom format (PAYLOAD_FORMAT_CUSTOM) only, and the format is {}: leave the template out, or choose that format",
                api_name(kind)
            );
            violations.push(Violation::not_allowed(fields.template, description));
        }
        if kind != PayloadKind::PagerDuty && self.routing_key.is_some() {
            let description = format!(
                "is for the pagerduty format (PAYLOAD_FORMAT_PAGERDUTY) only, and the format is {}: leave it out, or choose that format",
                api_name(kind)
            );
            violations.push(Violation::not_allowed(fields.routing_key, description));
        }
        let template = match self.template {
            Some(_) => given_template,
            None => current.template().map(str::to_owned),
        };
        if let (PayloadKind::Custom, Some(template)) = (kind, &template) {
            violations.extend(check_template(fields.template, template).err());
        }
        let routing_key = self.routing_key.or_else(|| current.routing_key().cloned());
        match PayloadFormat::new(kind, template, routing_key) {
            Ok(format) if violations.is_empty() => Ok(format),
            Ok(_) => Err(violations),
            Err(missing) => {
                violations.push(missing.violation(fields));
                Err(violations)
            }
        }
    }
}

/// The kind's name in the API, for messages.
fn api_name(kind: PayloadKind) -> String {
    format!("PAYLOAD_FORMAT_{}", kind.name().to_uppercase())
}

impl MissingPart {
    fn violation(self, fields: PayloadFields) -> Violation {
        match self {
            MissingPart::Template => Violation::required(
                fields.template,
                "is required for the custom format (PAYLOAD_FORMAT_CUSTOM): for example {\"text\": {{ event }}}",
            ),
            MissingPart::RoutingKey => Violation::required(
                fields.routing_key,
                "is required for the pagerduty format (PAYLOAD_FORMAT_PAGERDUTY): the integration key of an Events API v2 integration",
            ),
        }
    }
}

fn check_template(field: &str, template: &str) -> Result<(), Violation> {
    if template.len() > MAX_TEMPLATE_BYTES {
        let description =
            format!("is {} bytes; it may be at most {MAX_TEMPLATE_BYTES}", template.len());
        return Err(Violation::too_long(field, description));
    }
    // Postgres takes no NUL in text.
    if template.contains('\0') {
        return Err(Violation::invalid_format(field, "must not contain a NUL character"));
    }
    Ok(())
}

#[cfg(test)]
#[path = "payload_format_tests.rs"]
mod tests;
