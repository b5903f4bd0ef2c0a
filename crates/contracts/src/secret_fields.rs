//! Which fields of the API are credentials.

/// The full names of the fields that are credentials: those with protobuf's option `debug_redact`. No
/// Debug output shows them, and no answer that may contain one is compressed.
pub const SECRET_FIELDS: &[&str] = include!(concat!(env!("OUT_DIR"), "/secret_fields.rs"));

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::SECRET_FIELDS;
    use crate::DESCRIPTORS;

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
}
