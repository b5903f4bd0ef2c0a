//! `ktw notifications`.

use clap::{Args, Subcommand};
use keeptrusts_webhooks_client::v1;

use crate::descriptors::to_json;
use crate::failure::Failure;
use crate::options::{ListOptions, value_of};
use crate::output::{Column, Kind, View};
use crate::references::ChannelFilter;
use crate::session::Session;

pub(super) const VIEW: View = View {
    message: "Notification",
    plural: "notifications",
    id: "id",
    columns: &[
        Column::new("TIME", "create_time", Kind::Time),
        Column::new("ID", "id", Kind::Text),
        Column::new("CHANNEL", "channel_id", Kind::Text),
        Column::new("TYPE", "type", Kind::Enum),
        Column::new("STATE", "state", Kind::Enum),
        Column::new("ENDPOINT", "endpoint_id", Kind::Text),
        Column::new("ERROR", "error", Kind::Text),
    ],
};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Lists notifications, the newest first.
    List(List),
    /// Shows a notification.
    Get(One),
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    channels: ChannelFilter,
    /// Only in this state; may be repeated.
    #[arg(id = "states", long = "state", value_name = "STATE", value_parser = value_of("Notification.State"))]
    states: Vec<i32>,
    #[command(flatten)]
    list: ListOptions,
}

#[derive(Args)]
pub(crate) struct One {
    /// The notification's id.
    #[arg(id = "notification_id", value_name = "NOTIFICATION")]
    id: String,
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let organization_id = session.organization().await?;
        match self {
            Command::List(List { channels, states, list }) => {
                let request = v1::ListNotificationsRequest {
                    organization_id,
                    channel_ids: channels.ids(session).await?,
                    states,
                    page_size: list.page_size(),
                    ..Default::default()
                };

                session.list(&VIEW, list.limit(), request).await
            }
            Command::Get(One { id: notification_id }) => {
                let request = v1::GetNotificationRequest { organization_id, notification_id };
                let response = session.client.get_notification(request).await?;
                let notification = response.notification.unwrap_or_default();
                session.print(&VIEW, &to_json("Notification", &notification)).await
            }
        }
    }
}
