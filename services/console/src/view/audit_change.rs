//! A change in the audit trail, in the words of the other pages. The API has names and values for programs.

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::access::Role;

use super::{channel, endpoint, payload, replay};

/// A field that changed.
pub(crate) struct ChangeView {
    pub(crate) field: String,
    pub(crate) before: String,
    pub(crate) after: String,
}

impl ChangeView {
    pub(crate) fn of(change: v1::AuditChange) -> ChangeView {
        let v1::AuditChange { field, before, after } = change;
        ChangeView {
            before: words(&field, before),
            after: words(&field, after),
            field: field.replace(['.', '_'], " "),
        }
    }
}

/// What a value is called on the other pages; of a list, each of its values.
fn words(field: &str, value: String) -> String {
    let is_list = ["event_types", "subscriptions", "endpoint_ids", "email.recipients"];
    let values = match is_list.contains(&field) {
        true => serde_json::from_str::<Vec<String>>(&value).ok(),
        false => None,
    };
    let word = |value: String| word(field, &value).map_or(value, str::to_owned);
    values.unwrap_or_else(|| vec![value]).into_iter().map(word).collect::<Vec<_>>().join(", ")
}

fn word(field: &str, value: &str) -> Option<&'static str> {
    match field {
        "state" => {
            v1::endpoint::State::from_str_name(value).map(|state| endpoint::status(state).word)
        }
        "role" => v1::Role::from_str_name(value).and_then(Option::<Role>::from).map(Role::name),
        "scope" => v1::replay::Scope::from_str_name(value).map(replay::scope),
        "payload_format" => {
            v1::PayloadFormat::from_str_name(value).and_then(Option::from).map(payload::name)
        }
        "subscriptions" => v1::NotificationType::from_str_name(value).map(channel::type_name),
        "pagerduty.region" => v1::PagerDutyRegion::from_str_name(value).map(channel::region),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_contracts::enum_names::EnumNames;

    use super::*;

    #[test]
    fn a_list_is_read_as_one_and_a_text_that_looks_like_one_is_not() {
        assert_eq!(words("event_types", r#"["a.b","c.d"]"#.to_owned()), "a.b, c.d");
        assert_eq!(words("display_name", r#"["a"]"#.to_owned()), r#"["a"]"#);
        let types = r#"["NOTIFICATION_TYPE_WEEKLY_SUMMARY"]"#.to_owned();
        assert_eq!(words("subscriptions", types), "Weekly summary");
        assert_eq!(words("event_types", String::new()), "");
        let change = v1::AuditChange {
            field: "pagerduty.region".to_owned(),
            after: "PAGER_DUTY_REGION_EU".to_owned(),
            ..Default::default()
        };
        let view = ChangeView::of(change);
        assert_eq!((&*view.field, &*view.before, &*view.after), ("pagerduty region", "", "EU"));
    }

    #[test]
    fn no_page_shows_an_enums_name_of_the_api() {
        for (field, names) in [
            ("state", v1::endpoint::State::NAMES),
            ("role", v1::Role::NAMES),
            ("scope", v1::replay::Scope::NAMES),
            ("payload_format", v1::PayloadFormat::NAMES),
            ("subscriptions", v1::NotificationType::NAMES),
            ("pagerduty.region", v1::PagerDutyRegion::NAMES),
        ] {
            for name in names {
                let word = word(field, name).unwrap_or_else(|| panic!("{name} has no word"));
                assert!(!word.contains('_') && word != "Unknown", "{name}: {word}");
            }
        }
    }
}
