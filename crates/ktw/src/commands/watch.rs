//! `ktw watch`.

use clap::Args;
use keeptrusts_webhooks_client::v1;

use crate::descriptors::to_json;
use crate::failure::Failure;
use crate::options::{TypeFilter, value_of};
use crate::output::{Column, Kind, View, message};
use crate::references::EndpointFilter;
use crate::session::Session;
use crate::watching::Watching;

pub(super) const VIEW: View = View {
    message: "WatchDeliveriesResponse",
    plural: "changes",
    id: "delivery.id",
    columns: &[
        Column::new("TIME", "attempt.start_time", Kind::Time),
        Column::new("DELIVERY", "delivery.id", Kind::Text),
        Column::new("STATE", "delivery.state", Kind::Enum),
        Column::new("STATUS", "attempt.status_code", Kind::Number),
        Column::new("TOOK", "attempt.duration", Kind::Duration),
        Column::new("TYPE", "delivery.event_type", Kind::Text),
        Column::new("ENDPOINT", "delivery.endpoint_id", Kind::Text),
        Column::new("ERROR", "attempt.error", Kind::Text),
    ],
};

/// Shows deliveries as they happen.
///
/// Ctrl+C ends it. If the connection is lost, it is made again; a message says so, and whether something may
/// be missing.
#[derive(Args)]
#[command(after_help = "\
Example:
  ktw watch --endpoint siem --outcome retrying --outcome failed     # what goes wrong with an endpoint")]
pub(crate) struct Watch {
    #[command(flatten)]
    endpoints: EndpointFilter,
    #[command(flatten)]
    changes: Filter,
}

/// What the API has no filter for.
#[derive(Args)]
struct Filter {
    #[command(flatten)]
    types: TypeFilter,
    /// Only deliveries that are in this state now; may be repeated.
    #[arg(id = "states", long = "state", value_name = "STATE", value_parser = value_of("Delivery.State"))]
    states: Vec<i32>,
    /// Only changes by an attempt with this outcome (`retrying`: it failed, and another one follows); may be
    /// repeated.
    #[arg(id = "outcomes", long = "outcome", value_name = "OUTCOME", value_parser = value_of("Attempt.Outcome"))]
    outcomes: Vec<i32>,
}

impl Filter {
    fn accepts(&self, delivery: &v1::Delivery, attempt: Option<&v1::Attempt>) -> bool {
        let types = &self.types.event_types;
        (types.is_empty() || types.contains(&delivery.event_type))
            && (self.states.is_empty() || self.states.contains(&delivery.state))
            && (self.outcomes.is_empty()
                || attempt.is_some_and(|attempt| self.outcomes.contains(&attempt.outcome)))
    }
}

impl Watch {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let request = v1::WatchDeliveriesRequest {
            organization_id: session.organization().await?,
            endpoint_ids: self.endpoints.ids(session).await?,
            ..Default::default()
        };
        session.check_event_types(&self.changes.types.event_types).await?;
        // A watch waits for a server that is away: at its beginning it should be there.
        session.caller().await?;
        let mut watching = Watching::new(session, request);
        if session.output.is_for_people() {
            message("Waiting for deliveries. Ctrl+C ends it.");
        }
        let mut is_first = true;
        loop {
            let change = tokio::select! {
                change = watching.next() => change?,
                _ = tokio::signal::ctrl_c() => return Ok(()),
            };
            let Some(change) = change else { return Ok(()) };
            // A response without a delivery only says where to resume.
            let Some(delivery) = &change.delivery else { continue };
            if !self.changes.accepts(delivery, change.attempt.as_ref()) {
                continue;
            }
            let item = to_json("WatchDeliveriesResponse", &change);
            session.print_item(&VIEW, &item, is_first).await?;
            is_first = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use v1::attempt::Outcome;
    use v1::delivery::State;

    use super::*;

    #[test]
    fn a_change_is_shown_if_it_fits_each_kind_of_filter() {
        let delivery = v1::Delivery {
            event_type: "policy.violation".to_owned(),
            state: State::Retrying.into(),
            ..Default::default()
        };
        let attempt = v1::Attempt { outcome: Outcome::Failed.into(), ..Default::default() };
        let filter = |types: &[&str], states: &[State], outcomes: &[Outcome]| Filter {
            types: TypeFilter { event_types: types.iter().map(|it| (*it).to_owned()).collect() },
            states: states.iter().map(|it| i32::from(*it)).collect(),
            outcomes: outcomes.iter().map(|it| i32::from(*it)).collect(),
        };
        let accepts = |filter: &Filter| filter.accepts(&delivery, Some(&attempt));
        assert!(accepts(&filter(&[], &[], &[])));
        assert!(accepts(&filter(
            &["a.b", "policy.violation"],
            &[State::Retrying],
            &[Outcome::Failed]
        )));
        assert!(!accepts(&filter(&["a.b"], &[], &[])));
        assert!(!accepts(&filter(&[], &[State::Delivered], &[])));
        assert!(!accepts(&filter(&[], &[], &[Outcome::Delivered])));
        let by_nothing = filter(&[], &[], &[Outcome::Failed]).accepts(&delivery, None);
        assert!(!by_nothing, "no attempt caused the change");
    }
}
