//! `ktw events`.

use clap::{Args, Subcommand};
use keeptrusts_webhooks_client::v1;

use crate::arguments::ListOptions;
use crate::descriptors::to_json;
use crate::failure::Failure;
use crate::files::time_to_proto;
use crate::output::{Column, Kind, View};
use crate::session::Session;
use crate::times::TypedTime;

pub(super) const VIEW: View = View {
    message: "Event",
    plural: "events",
    id: "id",
    columns: &[
        Column::new("ACCEPTED", "create_time", Kind::Time),
        Column::new("ID", "id", Kind::Text),
        Column::new("TYPE", "event_type", Kind::Text),
        Column::new("BYTES", "body_size", Kind::Text),
        Column::new("PUBLISHER", "publisher", Kind::Text),
    ],
};

const TYPES: View = View {
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

/// A span of time.
#[derive(Args)]
pub(super) struct Between {
    /// Only from then on: `2h` (ago), `2026-04-23`, `2026-04-23 14:30`, or RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = TypedTime::parse)]
    since: Option<TypedTime>,
    /// Only before then.
    #[arg(long, value_name = "TIME", value_parser = TypedTime::parse)]
    until: Option<TypedTime>,
}

impl Between {
    /// The start and the end.
    pub(super) fn resolve(
        &self,
        session: &Session,
    ) -> Result<(Option<prost_types::Timestamp>, Option<prost_types::Timestamp>), Failure> {
        let now = jiff::Timestamp::now();
        let resolve = |time: TypedTime| {
            let time = time.resolve(now, &session.output.zone).map_err(Failure::Usage)?;
            Ok::<_, Failure>(time_to_proto(time))
        };
        Ok((self.since.map(resolve).transpose()?, self.until.map(resolve).transpose()?))
    }
}

#[derive(Args)]
pub(crate) struct List {
    /// Only of this type; may be repeated.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Vec<String>,
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
    #[arg(value_name = "EVENT")]
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
                session.output.one(&VIEW, &to_json("Event", &event))
            }
            Command::Types => {
                let types = session.event_types().await?;
                let items: Vec<_> = types.iter().map(|item| to_json("EventType", item)).collect();
                session.output.list(&TYPES, &items)
            }
        }
    }
}

impl List {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let organization_id = session.organization().await?;
        let (start_time, end_time) = self.between.resolve(session)?;
        let view = match self.full {
            true => v1::EventView::Full,
            false => v1::EventView::Basic,
        };
        let request = v1::ListEventsRequest {
            organization_id,
            event_types: self.event_type,
            start_time,
            end_time,
            view: view.into(),
            page_size: self.list.page_size(),
            ..Default::default()
        };

        session.list(&VIEW, self.list.limit(), request).await
    }
}
