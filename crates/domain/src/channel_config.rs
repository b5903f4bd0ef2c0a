//! What a customer sets of a notification channel, and the rules of its fields.

use crate::config::config;
use crate::destination::Destination;
use crate::ids::EndpointId;
use crate::limits::{MAX_CHANNEL_ENDPOINTS, MAX_RECIPIENTS};
use crate::mailbox::check_mailbox;
use crate::notification_type::NotificationType;
use crate::violation::{EntryViolations, Violation};

config! {
    /// What a customer sets of a channel, checked.
    ChannelConfig,
    /// New values of a channel's configuration. None: the field stays. The kind never changes.
    ChannelPatch,
    with_destination: D = Destination,
    {
        /// A label for people.
        display_name: String,
        /// Where notifications go. The secret of the [`Destination`] is sealed in facts and tables,
        /// in clear in requests.
        destination: @D,
        /// The types of notifications that it gets. Sorted, not empty.
        subscriptions: Vec<NotificationType>,
        /// The endpoints that notifications are about. Sorted; empty: all endpoints.
        endpoint_ids: Vec<EndpointId>,
    }
}

/// Checks the types that a channel subscribes to: at least one, and none that cannot be subscribed
/// to. Returns them sorted and without repetitions.
pub fn check_subscriptions(
    field: &str,
    types: Vec<NotificationType>,
) -> Result<Vec<NotificationType>, Vec<Violation>> {
    if types.is_empty() {
        let description = "is required: subscribe to at least one type of notification";
        return Err(vec![Violation::required(field, description)]);
    }
    let mut wrong = EntryViolations::of(field);
    for (index, kind) in types.iter().enumerate().filter(|(_, kind)| !kind.can_be_subscribed_to()) {
        let description = match kind {
            NotificationType::Test => "cannot be subscribed to: every channel can be sent a test",
            _ => "cannot be subscribed to: services that keep incidents are told in any case",
        };
        wrong.push(index, |entry| Violation::not_allowed(entry, description));
    }
    let mut types = types;
    types.sort();
    types.dedup();
    wrong.into_result(types)
}

/// Checks the ids of the endpoints that a channel is limited to: at most 100. The order stays, so
/// that later checks can name an entry by its index; see [`deduplicated_ids`].
pub fn check_endpoint_ids(field: &str, ids: &[String]) -> Result<Vec<EndpointId>, Vec<Violation>> {
    if ids.len() > MAX_CHANNEL_ENDPOINTS {
        let description = format!(
            "has {} endpoints; it may have at most {MAX_CHANNEL_ENDPOINTS}, or none for all",
            ids.len()
        );
        return Err(vec![Violation::too_many(field, description)]);
    }
    let (mut parsed, mut wrong) = (Vec::new(), EntryViolations::of(field));
    for (index, id) in ids.iter().enumerate() {
        match id.parse() {
            Ok(id) => parsed.push(id),
            Err(error) => wrong.push(index, |entry| {
                Violation::invalid_format(entry, crate::ids::InvalidId::to_string(&error))
            }),
        }
    }
    wrong.into_result(parsed)
}

/// The ids as a channel stores them: sorted and without repetitions.
pub fn deduplicated_ids(mut ids: Vec<EndpointId>) -> Vec<EndpointId> {
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Checks that each endpoint is one of the organization's `existing` ones. The channel's `current`
/// endpoints are accepted too, because they may have been deleted since they were set.
pub fn check_endpoints_exist(
    field: &str,
    ids: &[EndpointId],
    existing: &[EndpointId],
    current: &[EndpointId],
) -> Result<(), Vec<Violation>> {
    let mut wrong = EntryViolations::of(field);
    for (index, id) in ids.iter().enumerate() {
        if !existing.contains(id) && !current.contains(id) {
            wrong.push(index, |entry| {
                let description = format!(
                    "{id} is no endpoint of the organization; deleted ones are none either"
                );
                Violation::unknown_value(entry, description)
            });
        }
    }
    wrong.into_result(())
}

/// Checks the recipients of an e-mail channel: 1 to 20 addresses. Returns them in their order,
/// without repetitions.
pub fn check_recipients(field: &str, recipients: &[String]) -> Result<Vec<String>, Vec<Violation>> {
    if recipients.is_empty() {
        let description = "is required: at least one address, such as on-call@example.com";
        return Err(vec![Violation::required(field, description)]);
    }
    if recipients.len() > MAX_RECIPIENTS {
        let description = format!(
            "has {} addresses; it may have at most {MAX_RECIPIENTS}: use a mailing list",
            recipients.len()
        );
        return Err(vec![Violation::too_many(field, description)]);
    }
    let (mut checked, mut violations) = (Vec::<String>::new(), Vec::new());
    for (index, recipient) in recipients.iter().enumerate() {
        match check_mailbox(&format!("{field}[{index}]"), recipient) {
            Ok(address) if checked.contains(&address) => {}
            Ok(address) => checked.push(address),
            Err(violation) => violations.push(violation),
        }
    }
    if violations.is_empty() { Ok(checked) } else { Err(violations) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_that_does_not_exist_is_named_by_its_index() {
        let (deleted, other) = (EndpointId::MIN, EndpointId::MAX);
        let check = |ids: &[EndpointId], existing: &[EndpointId], current: &[EndpointId]| {
            check_endpoints_exist("ids", ids, existing, current)
        };
        let wrong = check(&[deleted, other, deleted], &[other], &[]).expect_err("refused");
        let fields: Vec<_> = wrong.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["ids[0]", "ids[2]"]);
        assert_eq!(check(&[deleted, other], &[other], &[deleted]), Ok(()), "it was there before");
        assert_eq!(check(&[], &[], &[]), Ok(()));
    }

    #[test]
    fn subscriptions_and_endpoints_are_sorted_and_have_limits() {
        let types = vec![
            NotificationType::WeeklySummary,
            NotificationType::DeliveryExhausted,
            NotificationType::WeeklySummary,
        ];
        let sorted = check_subscriptions("subscriptions", types);
        let expected = vec![NotificationType::DeliveryExhausted, NotificationType::WeeklySummary];
        assert_eq!(sorted, Ok(expected));
        assert!(check_subscriptions("subscriptions", Vec::new()).is_err());
        let test = check_subscriptions("subscriptions", vec![NotificationType::Test]);
        assert_eq!(test.expect_err("refused")[0].field, "subscriptions[0]");
        let ids = vec![EndpointId::MAX.to_string(), EndpointId::MIN.to_string()];
        let checked = check_endpoint_ids("ids", &ids).expect("ids");
        assert_eq!(
            checked,
            [EndpointId::MAX, EndpointId::MIN],
            "the order stays, so that an index names an entry"
        );
        let twice = [checked.clone(), checked].concat();
        assert_eq!(deduplicated_ids(twice), [EndpointId::MIN, EndpointId::MAX]);
        let wrong = check_endpoint_ids("ids", &["evt_1".to_owned()]);
        assert_eq!(wrong.expect_err("refused")[0].field, "ids[0]");
        let many = vec![EndpointId::MIN.to_string(); MAX_CHANNEL_ENDPOINTS + 1];
        assert!(check_endpoint_ids("ids", &many).is_err());
    }

    #[test]
    fn every_recipient_is_checked_and_repetitions_are_dropped() {
        let of = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let once = check_recipients("to", &of(&["a@b.c", "d@e.f", "a@b.c"]));
        assert_eq!(once, Ok(of(&["a@b.c", "d@e.f"])));
        let wrong = check_recipients("to", &of(&["a@b.c", "nobody"])).expect_err("refused");
        assert_eq!(wrong[0].field, "to[1]");
        assert!(check_recipients("to", &[]).is_err());
        assert!(check_recipients("to", &vec!["a@b.c".to_owned(); MAX_RECIPIENTS + 1]).is_err());
    }
}
