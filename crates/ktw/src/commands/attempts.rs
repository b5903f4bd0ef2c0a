//! `ktw attempts`.

use clap::{Args, Subcommand};
use keeptrusts_webhooks_client::v1;

use crate::descriptors::to_json;
use crate::failure::Failure;
use crate::options::{Between, ListOptions, TypeFilter, value_of};
use crate::output::{Column, Kind, View};
use crate::references::EndpointFilter;
use crate::session::Session;

pub(super) const VIEW: View = View {
    message: "Attempt",
    plural: "attempts",
    id: "id",
    columns: &[
        Column::new("STARTED", "start_time", Kind::Time),
        Column::new("ID", "id", Kind::Text),
        Column::new("OUTCOME", "outcome", Kind::Enum),
        Column::new("STATUS", "status_code", Kind::Number),
        Column::new("TOOK", "duration", Kind::Duration),
        Column::new("NO", "number", Kind::Number),
        Column::new("TYPE", "event_type", Kind::Text),
        Column::new("ENDPOINT", "endpoint_id", Kind::Text),
        Column::new("DELIVERY", "delivery_id", Kind::Text),
        Column::new("ERROR", "error", Kind::Text),
    ],
};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Lists attempts, the newest first.
    List(List),
    /// Shows an attempt with headers and bodies.
    Get(One),
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    endpoints: EndpointFilter,
    /// Only of this delivery.
    #[arg(
        id = "delivery_id",
        long = "delivery",
        value_name = "DELIVERY",
        default_value = "",
        hide_default_value = true
    )]
    delivery: String,
    #[command(flatten)]
    types: TypeFilter,
    /// Only with this outcome; may be repeated.
    #[arg(id = "outcomes", long = "outcome", value_name = "OUTCOME", value_parser = value_of("Attempt.Outcome"))]
    outcomes: Vec<i32>,
    #[command(flatten)]
    between: Between,
    /// With headers and bodies; in the forms for programs.
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    list: ListOptions,
}

#[derive(Args)]
pub(crate) struct One {
    /// The attempt's id.
    #[arg(id = "attempt_id", value_name = "ATTEMPT")]
    id: String,
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let organization_id = session.organization().await?;
        match self {
            Command::List(list) => list.run(session, organization_id).await,
            Command::Get(One { id: attempt_id }) => {
                let view = v1::AttemptView::Full.into();
                let request = v1::GetAttemptRequest { organization_id, attempt_id, view };
                let response = session.client.get_attempt(request).await?;
                let attempt = response.attempt.unwrap_or_default();
                session.print(&VIEW, &to_json("Attempt", &attempt)).await
            }
        }
    }
}

impl List {
    async fn run(self, session: &Session, organization_id: String) -> Result<(), Failure> {
        let (start_time, end_time) = self.between.resolve(&session.output.zone)?;
        let view = match self.full {
            true => v1::AttemptView::Full,
            false => v1::AttemptView::Basic,
        };
        let request = v1::ListAttemptsRequest {
            organization_id,
            endpoint_ids: self.endpoints.ids(session).await?,
            delivery_id: self.delivery,
            event_types: self.types.event_types,
            outcomes: self.outcomes,
            start_time,
            end_time,
            view: view.into(),
            page_size: self.list.page_size(),
            ..Default::default()
        };

        session.list(&VIEW, self.list.limit(), request).await
    }
}
