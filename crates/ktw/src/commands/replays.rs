//! `ktw replay` and `ktw replays`.

use clap::{Args, Subcommand};
use keeptrusts_webhooks_client::v1;
use v1::replay::State;

use crate::completion;
use crate::descriptors::to_json;
use crate::failure::Failure;
use crate::options::{Between, ListOptions, TypeFilter, value_of};
use crate::output::{Column, Kind, View, message};
use crate::progress;
use crate::prompt;
use crate::references::{EndpointArgument, EndpointFilter};
use crate::session::Session;
use crate::watching::Watching;

pub(super) const VIEW: View = View {
    message: "Replay",
    plural: "replays",
    id: "id",
    columns: &[
        Column::new("REQUESTED", "create_time", Kind::Time),
        Column::new("ID", "id", Kind::Text),
        Column::new("STATE", "state", Kind::Enum),
        Column::new("SCOPE", "scope", Kind::Enum),
        Column::new("MATCHED", "matched_count", Kind::Number),
        Column::new("SCHEDULED", "scheduled_count", Kind::Number),
        Column::new("RESUMED", "resumed_count", Kind::Number),
        Column::new("ENDPOINT", "endpoint_id", Kind::Text),
    ],
};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Lists replays, the newest first.
    List(List),
    /// Shows a replay.
    Get(One),
    /// Follows a replay to its end.
    Watch(One),
    /// Cancels a running replay. What it has scheduled is still delivered.
    Cancel(One),
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    endpoints: EndpointFilter,
    /// Only in this state; may be repeated.
    #[arg(id = "states", long = "state", value_name = "STATE", value_parser = value_of("Replay.State"))]
    states: Vec<i32>,
    #[command(flatten)]
    list: ListOptions,
}

#[derive(Args)]
pub(crate) struct One {
    /// The replay's id.
    #[arg(id = "replay_id", value_name = "REPLAY", add = completion::replays())]
    id: String,
}

/// Sends past events to an endpoint again.
///
/// Those that it missed while it was disabled, those that failed, or all. What was delivered is not sent
/// again unless you ask for it. The command follows the replay to its end and shows it then.
#[derive(Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    endpoint: EndpointArgument,
    /// Which events.
    #[arg(long, value_name = "SCOPE", value_parser = value_of("Replay.Scope"))]
    scope: i32,
    #[command(flatten)]
    between: Between,
    #[command(flatten)]
    types: TypeFilter,
    /// Send delivered events again, too; only with the scope `all`.
    #[arg(long)]
    include_delivered: bool,
    /// The most deliveries in a second.
    #[arg(
        id = "deliveries_per_second",
        long = "rate",
        value_name = "NUMBER",
        default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..))]
    rate: i32,
    /// Only count what would be sent.
    #[arg(long, conflicts_with_all = ["yes", "no_wait"])]
    count: bool,
    /// Do not follow it to its end.
    #[arg(long)]
    no_wait: bool,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let organization_id = session.organization().await?;
        let replay = match self {
            Command::List(List { endpoints, states, list }) => {
                let request = v1::ListReplaysRequest {
                    organization_id,
                    endpoint_ids: endpoints.ids(session).await?,
                    states,
                    page_size: list.page_size(),
                    ..Default::default()
                };

                return session.list(&VIEW, list.limit(), request).await;
            }
            Command::Watch(One { id: replay_id }) => {
                return follow(session, organization_id, replay_id).await;
            }
            Command::Get(One { id: replay_id }) => {
                let request = v1::GetReplayRequest { organization_id, replay_id };
                session.client.get_replay(request).await?.replay
            }
            Command::Cancel(One { id: replay_id }) => {
                let request = v1::CancelReplayRequest { organization_id, replay_id };
                session.client.cancel_replay(request).await?.replay
            }
        };
        session.print(&VIEW, &to_json("Replay", &replay.unwrap_or_default())).await
    }
}

impl Replay {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let organization_id = session.organization().await?;
        let (start_time, end_time) = self.between.resolve(&session.output.zone)?;
        let replay = v1::Replay {
            endpoint_id: self.endpoint.id(session).await?,
            scope: self.scope,
            start_time,
            end_time,
            event_types: self.types.event_types,
            include_delivered: self.include_delivered,
            deliveries_per_second: self.rate,
            ..Default::default()
        };
        let request = v1::CreateReplayRequest {
            organization_id: organization_id.clone(),
            replay: Some(replay),
            validate_only: true,
            ..Default::default()
        };
        if self.count || !self.yes {
            let counted = session.client.create_replay(request.clone()).await?;
            let counted = counted.replay.unwrap_or_default();
            if self.count {
                return session.print(&VIEW, &to_json("Replay", &counted)).await;
            }
            let endpoint = session.endpoint_label(&counted.endpoint_id).await;
            prompt::confirm(&question(&counted, &endpoint))?;
        }
        let request = v1::CreateReplayRequest { validate_only: false, ..request };
        let created = session.client.create_replay(request).await?;
        let created = created.replay.unwrap_or_default();
        if self.no_wait {
            return session.print(&VIEW, &to_json("Replay", &created)).await;
        }
        follow(session, organization_id, created.id).await
    }
}

fn question(counted: &v1::Replay, endpoint: &str) -> String {
    let at_least = if counted.may_match_more { "at least " } else { "" };
    let rate = counted.deliveries_per_second.max(1);
    let seconds = counted.matched_count / i64::from(rate);
    format!(
        "Schedule {at_least}{} deliveries to {endpoint}, {rate} a second (about {seconds} s)?",
        counted.matched_count
    )
}

/// Shows the progress until the replay ends, then the replay.
async fn follow(
    session: &Session,
    organization_id: String,
    replay_id: String,
) -> Result<(), Failure> {
    let request = v1::WatchReplayRequest { organization_id, replay_id: replay_id.clone() };
    let mut watching = Watching::new(session, request);
    let progress = progress::bar("deliveries");
    let mut last = v1::Replay::default();
    loop {
        let step = tokio::select! {
            step = watching.next() => step?,
            _ = tokio::signal::ctrl_c() => {
                progress.finish_and_clear();
                return Err(Failure::Interrupted(format!(
                    "the replay goes on: `ktw replays watch {replay_id}` follows it, `ktw replays cancel {replay_id}` ends it"
                )));
            }
        };
        let Some(step) = step else { break };
        last = step.replay.unwrap_or_default();
        let done = last.scheduled_count + last.resumed_count;
        progress.set_length(last.matched_count.max(done).unsigned_abs());
        progress.set_position(done.unsigned_abs());
    }
    progress.finish_and_clear();
    session.print(&VIEW, &to_json("Replay", &last)).await?;
    match last.state() {
        State::Done => Ok(()),
        State::Cancelled => {
            Err(Failure::Check(format!("the replay ended early: {}", last.end_reason)))
        }
        _ => {
            message(&format!(
                "The watch ended before the replay: `ktw replays watch {replay_id}` goes on."
            ));
            Ok(())
        }
    }
}
