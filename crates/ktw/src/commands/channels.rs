//! `ktw channels`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use keeptrusts_webhooks_client::v1;
use prost_types::FieldMask;

use super::notifications;
use crate::descriptors::to_json;
use crate::failure::Failure;
use crate::files;
use crate::options::ListOptions;
use crate::output::{Column, Kind, View, message};
use crate::prompt;
use crate::references::ChannelArgument;
use crate::session::Session;

pub(super) const VIEW: View = View {
    message: "Channel",
    plural: "channels",
    id: "id",
    columns: &[
        Column::new("ID", "id", Kind::Text),
        Column::new("NAME", "display_name", Kind::Text),
        Column::new("STATE", "state", Kind::Enum),
        Column::new("ABOUT", "subscriptions", Kind::List),
        Column::new("ENDPOINTS", "endpoint_ids", Kind::List),
        Column::new("CHANGED", "update_time", Kind::Time),
    ],
};

/// What a file of a channel looks like; for `--help`.
const FILE_HELP: &str = "\
A channel in a file, in YAML or JSON, with the fields of the API:

  display_name: on call
  subscriptions: [NOTIFICATION_TYPE_ENDPOINT_DISABLED]
  slack: {url: \"https://hooks.slack.com/services/…\"}

The destination is one of slack, teams, pagerduty, webhook and email.";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Lists channels, the newest first.
    List(List),
    /// Shows a channel.
    Get(ChannelArgument),
    /// Creates a channel.
    #[command(after_help = FILE_HELP)]
    Create(Create),
    /// Changes a channel: the fields that the file gives.
    #[command(after_help = FILE_HELP)]
    Update(Update),
    /// Creates or changes channels so that they are as a file says. Applied twice, it changes nothing.
    #[command(after_help = FILE_HELP)]
    Apply(Apply),
    /// Deletes a channel. Its history stays readable.
    Delete(Delete),
    /// Sends a test to a channel and shows the outcome.
    Test(ChannelArgument),
}

#[derive(Args)]
pub(crate) struct List {
    /// The order: `display_name`, `state`, `create_time` or `update_time`, with ` desc` for the reverse.
    #[arg(long, value_name = "FIELD", default_value = "", hide_default_value = true)]
    order_by: String,
    #[command(flatten)]
    list: ListOptions,
}

#[derive(Args)]
pub(crate) struct Create {
    /// The channel; `-` for stdin.
    #[arg(long, short, value_name = "FILE")]
    file: PathBuf,
    /// Only checks, and shows what would be created.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Update {
    #[command(flatten)]
    channel: ChannelArgument,
    /// The fields to change; `-` for stdin.
    #[arg(long, short, value_name = "FILE")]
    file: PathBuf,
    /// Only if the channel still has this etag.
    #[arg(long, value_name = "ETAG", default_value = "", hide_default_value = true)]
    etag: String,
    /// Only checks, and shows the channel as it would be.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Apply {
    /// A channel or a list of them, each with its `id`; `-` for stdin.
    #[arg(long, short, value_name = "FILE")]
    file: PathBuf,
    /// Only checks, and shows the channels as they would be.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    channel: ChannelArgument,
    /// Succeeds also if there is no such channel.
    #[arg(long)]
    allow_missing: bool,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let organization_id = session.organization().await?;
        match self {
            Command::List(List { order_by, list }) => {
                let request = v1::ListChannelsRequest {
                    organization_id,
                    order_by,
                    page_size: list.page_size(),
                    ..Default::default()
                };

                session.list(&VIEW, list.limit(), request).await
            }
            Command::Get(channel) => {
                let channel_id = channel.id(session).await?;
                let request = v1::GetChannelRequest { organization_id, channel_id };
                let response = session.client.get_channel(request).await?;
                show(session, response.channel).await
            }
            Command::Create(Create { file, dry_run }) => {
                let (channel, _) = one_of(&file)?;
                let request = v1::CreateChannelRequest {
                    organization_id,
                    channel_id: channel.id.clone(),
                    channel: Some(channel),
                    validate_only: dry_run,
                    ..Default::default()
                };
                let response = session.client.create_channel(request).await?;
                if dry_run {
                    message("Nothing was created.");
                }
                show(session, response.channel).await
            }
            Command::Update(Update { channel, file, etag, dry_run }) => {
                let id = channel.id(session).await?;
                let (channel, paths) = one_of(&file)?;
                let channel = v1::Channel { id, etag, ..channel };
                let response = update(session, &organization_id, channel, paths, false, dry_run);
                let channel = response.await?;
                if dry_run {
                    message("Nothing was changed.");
                }
                show(session, Some(channel)).await
            }
            Command::Apply(Apply { file, dry_run }) => {
                let channels = files::read_resources::<v1::Channel>("Channel", &file)?;
                files::require_ids(&channels, |channel| &channel.id, "channel", "chn_")?;
                let mut applied = Vec::new();
                for (channel, paths) in channels {
                    let channel = update(session, &organization_id, channel, paths, true, dry_run);
                    applied.push(to_json("Channel", &channel.await?));
                }
                session.print_list(&VIEW, &applied).await
            }
            Command::Delete(Delete { channel, allow_missing, yes }) => {
                let channel_id = match channel.id(session).await {
                    Err(Failure::NotFound(_)) if allow_missing => return Ok(()),
                    found => found?,
                };
                if !yes {
                    let request = v1::GetChannelRequest {
                        organization_id: organization_id.clone(),
                        channel_id: channel_id.clone(),
                    };
                    let channel = session.client.get_channel(request).await?.channel;
                    let name = channel.unwrap_or_default().display_name;
                    prompt::confirm(&format!("Delete the channel {name:?}?"))?;
                }
                let etag = String::new();
                let request =
                    v1::DeleteChannelRequest { organization_id, channel_id, etag, allow_missing };
                session.client.delete_channel(request).await?;
                Ok(())
            }
            Command::Test(channel) => {
                let channel_id = channel.id(session).await?;
                let request =
                    v1::TestChannelRequest { organization_id, channel_id, ..Default::default() };
                let response = session.client.test_channel(request).await?;
                let notification = response.notification.unwrap_or_default();
                let was_sent = notification.state() == v1::notification::State::Sent;
                let item = to_json("Notification", &notification);
                session.print(&notifications::VIEW, &item).await?;
                match was_sent {
                    true => Ok(()),
                    false => Err(Failure::Check("the test was not sent".to_owned())),
                }
            }
        }
    }
}

async fn update(
    session: &Session,
    organization_id: &str,
    channel: v1::Channel,
    paths: Vec<String>,
    allow_missing: bool,
    validate_only: bool,
) -> Result<v1::Channel, Failure> {
    let request = v1::UpdateChannelRequest {
        organization_id: organization_id.to_owned(),
        channel: Some(channel),
        update_mask: Some(FieldMask { paths }),
        allow_missing,
        validate_only,
    };
    let response = session.client.update_channel(request).await?;
    Ok(response.channel.unwrap_or_default())
}

fn one_of(file: &std::path::Path) -> Result<(v1::Channel, Vec<String>), Failure> {
    let mut channels = files::read_resources("Channel", file)?;
    match channels.len() {
        1 => Ok(channels.remove(0)),
        count => {
            Err(Failure::Usage(format!("the file has {count} channels: `apply` takes several")))
        }
    }
}

async fn show(session: &Session, channel: Option<v1::Channel>) -> Result<(), Failure> {
    session.print(&VIEW, &to_json("Channel", &channel.unwrap_or_default())).await
}
