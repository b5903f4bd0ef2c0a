//! Checks of fields that several requests have.

use std::str::FromStr;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::InvalidId;
use keeptrusts_webhooks_domain::secret::Secret;
use keeptrusts_webhooks_domain::violation::{EntryViolations, Violation};

use crate::enum_names::EnumNames;
use crate::time::{RANGE, timestamp_from_proto};

/// A required id. Text that is no id gets a violation instead of NOT_FOUND, because it is most often an
/// id of another kind.
pub(super) fn id<T: FromStr<Err = InvalidId>>(field: &str, text: &str) -> Result<T, Violation> {
    if text.is_empty() {
        return Err(Violation::required(field, "is required"));
    }
    text.parse().map_err(|error: InvalidId| Violation::invalid_format(field, error.to_string()))
}

/// An id that may be empty.
pub(super) fn optional_id<T>(field: &str, text: &str) -> Result<Option<T>, Violation>
where
    T: FromStr<Err = InvalidId>,
{
    if text.is_empty() { Ok(None) } else { id(field, text).map(Some) }
}

/// The values of a filter; empty: no filter. Each is checked, and named by its index.
fn values<Text, T>(
    field: &str,
    texts: &[Text],
    check: impl Fn(&Text) -> Result<T, Violation>,
) -> Result<Vec<T>, Vec<Violation>> {
    let mut values = Vec::new();
    let mut wrong = EntryViolations::of(field);
    for (index, text) in texts.iter().enumerate() {
        match check(text) {
            Ok(value) => values.push(value),
            Err(violation) => wrong.push(index, |entry| violation.of_field(entry)),
        }
    }
    wrong.into_result(values)
}

/// A filter by ids.
pub(super) fn ids<T>(field: &str, texts: &[String]) -> Result<Vec<T>, Vec<Violation>>
where
    T: FromStr<Err = InvalidId>,
{
    values(field, texts, |text| id(field, text))
}

/// A filter by event types. The type of tests is allowed too.
pub(super) fn event_types(names: &[String]) -> Result<Vec<EventType>, Vec<Violation>> {
    values("event_types", names, |name| event_type(name))
}

/// A filter by an enum's values.
pub(super) fn enums<M, D>(field: &str, numbers: &[i32]) -> Result<Vec<D>, Vec<Violation>>
where
    M: TryFrom<i32> + Into<Option<D>> + EnumNames,
{
    values(field, numbers, |number| {
        let value = optional_enum::<M, D>(field, *number)?;
        value.ok_or_else(|| {
            Violation::unknown_value(field, "must not be unspecified: leave it out for all")
        })
    })
}

/// An event type's name, in the field `event_type`.
pub(super) fn event_type(name: &str) -> Result<EventType, Violation> {
    if name.is_empty() {
        return Err(Violation::required("event_type", "is required (see ListEventTypes)"));
    }
    name.parse().map_err(|_| Violation::unknown_value("event_type", "is not one of ListEventTypes"))
}

/// The type of a test's event. Empty: that of tests.
pub(super) fn test_event_type(name: &str) -> Result<EventType, Violation> {
    if name.is_empty() { Ok(EventType::Test) } else { event_type(name) }
}

/// A secret; empty: none is given.
pub(super) fn optional_secret(field: &str, text: String) -> Result<Option<Secret>, Violation> {
    if text.is_empty() {
        return Ok(None);
    }
    Secret::new(text).map(Some).map_err(|wrong| wrong.of_field(field))
}

/// A text that is compared with stored text; empty: no filter.
pub(super) fn optional_text(field: &str, text: String) -> Result<Option<String>, Violation> {
    // Postgres accepts no NUL in text, and no stored text has one.
    if text.contains('\0') {
        return Err(Violation::invalid_format(field, "must not contain a NUL character"));
    }
    Ok((!text.is_empty()).then_some(text))
}

/// A time.
pub(super) fn time(field: &str, time: prost_types::Timestamp) -> Result<Timestamp, Violation> {
    let description = || format!("must be a valid timestamp from {RANGE}");
    timestamp_from_proto(&time).ok_or_else(|| Violation::out_of_range(field, description()))
}

/// A time that may be absent.
pub(super) fn optional_time(
    field: &str,
    given: Option<prost_types::Timestamp>,
) -> Result<Option<Timestamp>, Violation> {
    given.map(|given| time(field, given)).transpose()
}

/// The filters `start_time` (inclusive) and `end_time` (exclusive). `prefix` is the path of their message:
/// empty, or with a dot at its end.
pub(super) fn interval(
    prefix: &str,
    start_time: Option<prost_types::Timestamp>,
    end_time: Option<prost_types::Timestamp>,
) -> Result<(Option<Timestamp>, Option<Timestamp>), Vec<Violation>> {
    let (start_field, end_field) = (format!("{prefix}start_time"), format!("{prefix}end_time"));
    let start = optional_time(&start_field, start_time);
    let end = optional_time(&end_field, end_time);
    match (start, end) {
        (Ok(Some(start)), Ok(Some(end))) if start >= end => {
            Err(vec![Violation::out_of_range(end_field, "must be after start_time")])
        }
        (Ok(start), Ok(end)) => Ok((start, end)),
        (start, end) => Err(start.err().into_iter().chain(end.err()).collect()),
    }
}

/// A filter by an enum's value. Zero means all. A number that this version does not know is refused,
/// because it would match nothing.
pub(super) fn optional_enum<M, D>(field: &str, number: i32) -> Result<Option<D>, Violation>
where
    M: TryFrom<i32> + Into<Option<D>> + EnumNames,
{
    Ok(known_enum::<M>(field, number)?.into())
}

/// An enum's value, also zero. A number that this version does not know is refused with the names of
/// those that it knows.
pub(super) fn known_enum<M>(field: &str, number: i32) -> Result<M, Violation>
where
    M: TryFrom<i32> + EnumNames,
{
    M::try_from(number).map_err(|_| {
        let names = M::NAMES.join(", ");
        Violation::unknown_value(field, format!("{number} is not one of its values: {names}"))
    })
}
