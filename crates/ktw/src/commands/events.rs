//! `ktw events`.

use clap::{Args, Subcommand};
use keeptrusts_webhooks_client::v1;

use crate::descriptors::to_json;
use crate::failure::Failure;
use crate::options::{Between, ListOptions, TypeFilter};
use crate::output::{Column, Kind, View};
use crate::session::Session;

pub(super) const VIEW: View = View {
    message: "Event",
    plural: "events",
    id: "id",
    columns: &[
        Column::new("ACCEPTED", "create_time", Kind::Time),
        Column::new("ID", "id", Kind::Text),
        Column::new("TYPE", "event_type", Kind::Text),
        Column::new("BYTES", "body_size_bytes", Kind::Number),
        Column::new("PUBLISHER", "publisher", Kind::Text),
    ],
};

pub(super) const TYPES: View = View {
    message: "EventType",
    plural: "event types",
    id: "id",
    columns: &[
        Column::new("TYPE", "id", Kind::Text),
        Column::new("CATEGORY", "category", Kind::Text),
        Column::new("DESCRIPTION", "description", Kind::Text),
    ],
};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Lists events, the newest first.
    List(List),
    /// Shows an event with its body.
    Get(One),
    /// Lists the types of events, with samples in the forms for programs.
    Types,
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    types: TypeFilter,
    #[command(flatten)]
    between: Between,
    /// With bodies; in the forms for programs.
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    list: ListOptions,
}

#[derive(Args)]
pub(crate) struct One {
    /// The event's id.
    #[arg(id = "event_id", value_name = "EVENT")]
    id: String,
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        match self {
            Command::List(list) => list.run(session).await,
            Command::Get(One { id: event_id }) => {
                let organization_id = session.organization().await?;
                let view = v1::EventView::Full.into();
                let request = v1::GetEventRequest { organization_id, event_id, view };
                let response = session.client.get_event(request).await?;
                let event = response.event.unwrap_or_default();
                session.print(&VIEW, &to_json("Event", &event)).await
            }
            Command::Types => {
                let types = session.event_types().await?;
                let items: Vec<_> = types.iter().map(|item| to_json("EventType", item)).collect();
                session.print_list(&TYPES, &items).await
            }
        }
    }
}

impl List {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let organization_id = session.organization().await?;
        let (start_time, end_time) = self.between.resolve(&session.output.zone)?;
        let view = match self.full {
            true => v1::EventView::Full,
            false => v1::EventView::Basic,
        };
        let request = v1::ListEventsRequest {
            organization_id,
            event_types: self.types.event_types,
            start_time,
            end_time,
            view: view.into(),
            page_size: self.list.page_size(),
            ..Default::default()
        };

        session.list(&VIEW, self.list.limit(), request).await
    }
}
