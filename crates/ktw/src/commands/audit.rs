//! `ktw audit`.

use clap::{Args, Subcommand};
use keeptrusts_webhooks_client::v1;

use crate::failure::Failure;
use crate::options::{Between, ListOptions, value_of};
use crate::output::{Column, Kind, View};
use crate::references::EndpointFilter;
use crate::session::Session;

pub(super) const VIEW: View = View {
    message: "AuditEntry",
    plural: "entries",
    id: "id",
    columns: &[
        Column::new("TIME", "create_time", Kind::Time),
        Column::new("ACTION", "action", Kind::Enum),
        Column::new("ACTOR", "actor", Kind::Text),
        Column::new("NAME", "actor_name", Kind::Text),
        Column::new("ADDRESS", "address", Kind::Text),
        Column::new("ENDPOINT", "endpoint_id", Kind::Text),
    ],
};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Lists entries, the newest first.
    List(List),
}

#[derive(Args)]
pub(crate) struct List {
    /// Only this action; may be repeated.
    #[arg(id = "actions", long = "action", value_name = "ACTION", value_parser = value_of("AuditAction"))]
    actions: Vec<i32>,
    /// Only by this actor: a key's id, or `oidc:` and a subject.
    #[arg(long, value_name = "ACTOR", default_value = "", hide_default_value = true)]
    actor: String,
    #[command(flatten)]
    endpoints: EndpointFilter,
    #[command(flatten)]
    between: Between,
    #[command(flatten)]
    list: ListOptions,
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let Command::List(list) = self;
        list.run(session).await
    }
}

impl List {
    async fn run(self, session: &Session) -> Result<(), Failure> {
        let organization_id = session.organization().await?;
        let (start_time, end_time) = self.between.resolve(&session.output.zone)?;
        let request = v1::ListAuditEntriesRequest {
            organization_id,
            actions: self.actions,
            actor: self.actor,
            endpoint_ids: self.endpoints.ids(session).await?,
            start_time,
            end_time,
            page_size: self.list.page_size(),
            ..Default::default()
        };

        session.list(&VIEW, self.list.limit(), request).await
    }
}
