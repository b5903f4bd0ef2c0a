//! `ktw keys`.

use std::time::Duration;

use clap::{Args, Subcommand};
use keeptrusts_webhooks_client::v1;
use v1::key::Expiration;

use crate::descriptors::to_json;
use crate::failure::Failure;
use crate::files;
use crate::options::{ListOptions, duration, value_of};
use crate::output::{Column, Kind, View, message};
use crate::prompt;
use crate::session::Session;

pub(super) const VIEW: View = View {
    message: "Key",
    plural: "keys",
    id: "id",
    columns: &[
        Column::new("ID", "id", Kind::Text),
        Column::new("NAME", "display_name", Kind::Text),
        Column::new("ROLE", "role", Kind::Enum),
        Column::new("STATE", "state", Kind::Enum),
        Column::new("CREATED", "create_time", Kind::Time),
        Column::new("LAST USED", "last_use_time", Kind::Time),
        Column::new("ENDS", "end_time", Kind::Time),
    ],
};

pub(super) const CREATED: View = View {
    message: "CreateKeyResponse",
    plural: "keys",
    // What cannot be asked for again.
    id: "token",
    columns: &[Column::new("ID", "key.id", Kind::Text), Column::new("TOKEN", "token", Kind::Text)],
};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Lists keys, the newest first.
    List(List),
    /// Shows a key, without its token.
    Get(One),
    /// Creates a key and shows its token, once.
    Create(Create),
    /// Revokes a key, within 5 seconds everywhere.
    Revoke(Revoke),
}

#[derive(Args)]
pub(crate) struct List {
    /// Only in this state; may be repeated.
    #[arg(id = "states", long = "state", value_name = "STATE", value_parser = value_of("Key.State"))]
    states: Vec<i32>,
    /// Only API keys, or only sessions.
    #[arg(long, value_name = "KIND", value_parser = value_of("Key.Kind"))]
    kind: Option<i32>,
    /// The order: `display_name`, `role`, `create_time`, `end_time` or `last_use_time`, with ` desc` for the reverse.
    #[arg(long, value_name = "FIELD", default_value = "", hide_default_value = true)]
    order_by: String,
    #[command(flatten)]
    list: ListOptions,
}

#[derive(Args)]
pub(crate) struct One {
    /// The key's id.
    #[arg(id = "key_id", value_name = "KEY")]
    id: String,
}

#[derive(Args)]
pub(crate) struct Create {
    /// A label for people.
    #[arg(long = "name", value_name = "TEXT")]
    display_name: String,
    /// What it may do.
    #[arg(long, value_name = "ROLE", value_parser = value_of("Role"))]
    role: i32,
    /// How long it is valid; by default for ever.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    ttl: Option<Duration>,
}

#[derive(Args)]
pub(crate) struct Revoke {
    /// The key's id.
    #[arg(id = "key_id", value_name = "KEY")]
    id: String,
    /// Also every key and session that was created with it.
    #[arg(long)]
    with_made: bool,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let organization_id = session.organization().await?;
        match self {
            Command::List(List { states, kind, order_by, list }) => {
                let request = v1::ListKeysRequest {
                    organization_id,
                    kind: kind.unwrap_or_default(),
                    states,
                    order_by,
                    page_size: list.page_size(),
                    ..Default::default()
                };

                session.list(&VIEW, list.limit(), request).await
            }
            Command::Get(One { id: key_id }) => {
                let request = v1::GetKeyRequest { organization_id, key_id };
                show(session, session.client.get_key(request).await?.key).await
            }
            Command::Create(Create { display_name, role, ttl }) => {
                let expiration = ttl.map(|ttl| Expiration::Ttl(files::to_proto(ttl)));
                let key = v1::Key { display_name, role, expiration, ..Default::default() };
                let request =
                    v1::CreateKeyRequest { organization_id, key: Some(key), ..Default::default() };
                let response = session.client.create_key(request).await?;
                if response.duplicate {
                    let id = response.key.unwrap_or_default().id;
                    return Err(Failure::Check(format!(
                        "the key {id} was created, but the answer with its token was lost, and it cannot be told again: revoke it and create another one"
                    )));
                }
                session.print(&CREATED, &to_json("CreateKeyResponse", &response)).await?;
                message("The token is shown only now.");
                Ok(())
            }
            Command::Revoke(Revoke { id: key_id, with_made, yes }) => {
                if !yes {
                    prompt::confirm(&format!("Revoke the key {key_id}? It cannot be undone."))?;
                }
                let revoke_made = with_made;
                let request = v1::RevokeKeyRequest { organization_id, key_id, revoke_made };
                show(session, session.client.revoke_key(request).await?.key).await
            }
        }
    }
}

async fn show(session: &Session, key: Option<v1::Key>) -> Result<(), Failure> {
    session.print(&VIEW, &to_json("Key", &key.unwrap_or_default())).await
}
