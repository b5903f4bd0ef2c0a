//! Tries a format before an endpoint is saved with it.

use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::payload_format::PayloadFormat;

use crate::custom::{CustomTemplate, Interrupt};
use crate::payload_event::PayloadEvent;
use crate::samples::{no_data, sample_event};

/// Whether an endpoint with these subscriptions can be sent its events in this format: only a
/// template can fail. It is tried with a sample of each type, of the test, and with an event
/// without any data, since no field of an event is certain. In the order of `event_types`, what
/// is wrong. It renders a template twice for each type.
pub fn check<K>(
    format: &PayloadFormat<K>,
    organization: &OrganizationId,
    event_types: &[EventType],
    interrupt: &Interrupt,
) -> Result<(), String> {
    let PayloadFormat::Custom { template } = format else { return Ok(()) };
    let formatter = CustomTemplate::compile(template).map_err(|error| error.to_string())?;
    for event_type in event_types.iter().copied().chain([EventType::Test]) {
        let event = sample_event(organization, event_type);
        let tried = formatter.render(&event, interrupt);
        tried.map_err(|error| format!("{error}, with the sample of {event_type}"))?;
        let bare = PayloadEvent { data: no_data(), ..event };
        formatter.render(&bare, interrupt).map_err(|error| {
            format!(
                "{error}, with a {event_type} whose data is empty: give what may be missing a value, as in {{{{ data.count|default(0) }}}}"
            )
        })?;
    }
    Ok(())
}
