//! Tests a payload format before an endpoint is saved with it.

use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::payload_format::PayloadFormat;

use crate::custom::{CustomTemplate, Interrupt};
use crate::payload_event::PayloadEvent;
use crate::samples::{no_data, sample_event};

/// Whether events of these types can be rendered in the format. Only a template can fail. It is
/// rendered with a sample of each type and of the test event, and again without any data, since no
/// field of an event is certain. Returns the first error, in the order of `event_types`.
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
