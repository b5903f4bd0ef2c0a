//! Which fields of the API are credentials.

/// The full names of the fields that are credentials: those with protobuf's option `debug_redact`. No
/// Debug output shows them.
pub const SECRET_FIELDS: &[&str] = include!(concat!(env!("OUT_DIR"), "/secret_fields.rs"));

/// Those of them that responses may contain: all but the fields that are input only. No such response is
/// compressed.
pub const SHOWN_SECRET_FIELDS: &[&str] =
    include!(concat!(env!("OUT_DIR"), "/shown_secret_fields.rs"));

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::{SECRET_FIELDS, SHOWN_SECRET_FIELDS};
    use crate::{DESCRIPTORS, v1};

    /// Fields that sound like credentials, but are not.
    const NO_SECRETS: [&str; 9] = [
        "has_routing_key",
        "idempotency_key",
        "key",
        "key_id",
        "keys",
        "next_page_token",
        "page_token",
        "previous_secret_expire_time",
        "resume_token",
    ];

    #[test]
    fn every_field_that_sounds_like_a_credential_is_one_or_listed_as_harmless() {
        let files = FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors").file;
        let api = files.iter().filter(|file| file.package() == "keeptrusts.webhooks.v1");
        let messages = api.flat_map(|file| file.message_type.iter());
        let mut harmless = BTreeSet::new();
        for message in messages {
            for field in &message.field {
                let name = field.name();
                let full_name = format!("keeptrusts.webhooks.v1.{}.{name}", message.name());
                let sounds = ["secret", "token", "key", "password", "credential", "signature"];
                if sounds.iter().any(|word| name.contains(word))
                    && !SECRET_FIELDS.contains(&full_name.as_str())
                {
                    harmless.insert(name);
                }
            }
        }
        assert_eq!(harmless, BTreeSet::from(NO_SECRETS), "say of a new field what it is");
    }

    #[test]
    fn the_credentials_of_the_api_are_known() {
        let names: BTreeSet<_> =
            SECRET_FIELDS.iter().filter_map(|field| field.rsplit('.').next()).collect();
        // The URLs are those of incoming webhooks at Slack and Teams.
        let expected = ["routing_key", "secret", "standard_webhooks_secret", "token", "url"];
        assert_eq!(names, BTreeSet::from(expected));
    }

    #[test]
    fn responses_contain_no_field_that_is_input_only() {
        let mut shown = SHOWN_SECRET_FIELDS.to_vec();
        shown.sort_unstable();
        let expected = [
            "CreateEndpointResponse.secret",
            "CreateEndpointResponse.standard_webhooks_secret",
            "CreateKeyResponse.token",
            "CreateSessionResponse.token",
            "RevealSecretResponse.secret",
            "RevealSecretResponse.standard_webhooks_secret",
            "RotateSecretRequest.secret",
            "RotateSecretResponse.secret",
            "RotateSecretResponse.standard_webhooks_secret",
        ];
        let expected = expected.map(|name| format!("keeptrusts.webhooks.v1.{name}"));
        assert_eq!(shown, expected);
    }

    #[test]
    fn invariant_10_no_message_shows_its_secret() {
        let secret = || "correct horse battery".to_owned();
        let endpoint = v1::Endpoint {
            display_name: "siem".to_owned(),
            secret: secret(),
            routing_key: secret(),
            ..Default::default()
        };
        let webhook = v1::WebhookDestination { secret: secret(), ..Default::default() };
        let channel = v1::Channel {
            destination: Some(v1::channel::Destination::Webhook(webhook)),
            ..Default::default()
        };
        let shown = [
            format!("{endpoint:?}"),
            format!(
                "{:?}",
                v1::CreateEndpointRequest { endpoint: Some(endpoint), ..Default::default() }
            ),
            format!("{:?}", v1::RevealSecretResponse { secret: secret(), ..Default::default() }),
            format!("{:?}", v1::CreateKeyResponse { token: secret(), ..Default::default() }),
            format!("{channel:?}"),
        ];
        for text in &shown {
            assert!(text.contains("(hidden)") && !text.contains("horse"), "{text}");
        }
        assert!(shown[0].contains("siem"), "what is no secret is shown: {}", shown[0]);
        let none = format!("{:?}", v1::Endpoint::default());
        assert!(!none.contains("hidden"), "an absent secret is not hidden: {none}");
    }
}
