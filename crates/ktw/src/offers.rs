//! What there is to complete with: ids and names of the server, and profiles.
//!
//! A server that does not answer at once is no error: nothing is offered.

use std::env;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};
use futures_util::{StreamExt, TryStreamExt};
use keeptrusts_webhooks_client::{Client, RetryPolicy, v1};
use v1::replay::State;

use crate::arguments::Arguments;
use crate::completion::{Kind, Offer};
use crate::connection::{Connection, Key};
use crate::descriptors::shown_enum;
use crate::names::Named;
use crate::options::ConnectionOptions;
use crate::profiles::Profiles;

/// People wait for it with a finger on the key.
const TIME_LIMIT: Duration = Duration::from_secs(1);

/// The most replays that are offered, the newest.
const MAX_REPLAYS: usize = 50;

/// All of this kind.
pub(crate) fn of(kind: Kind, is_nothing_typed: bool) -> Vec<Offer> {
    match kind {
        Kind::Endpoint => from_server(async |client, organization| {
            named(Named::Endpoint, client, organization, is_nothing_typed).await
        }),
        Kind::Channel => from_server(async |client, organization| {
            named(Named::Channel, client, organization, is_nothing_typed).await
        }),
        Kind::Replay => from_server(replays),
        Kind::EventType => from_server(event_types),
        Kind::Profile => {
            let profiles = Profiles::path().and_then(|path| Profiles::load(&path));
            let profiles = profiles.map(|profiles| profiles.profiles).unwrap_or_default();
            profiles.into_iter().map(|(name, profile)| (name, profile.address)).collect()
        }
    }
}

async fn named(
    kind: Named,
    client: Client,
    organization_id: String,
    is_nothing_typed: bool,
) -> Vec<Offer> {
    let all = kind.list(&client, organization_id, "").await.unwrap_or_default();
    offers(all, is_nothing_typed)
}

/// Names, and ids as soon as something is typed: two of each would hide what there is. A name that a shell
/// would take apart, or that is not the name of one, is no offer; its id is.
fn offers(all: Vec<(String, String)>, is_nothing_typed: bool) -> Vec<Offer> {
    let is_word = |name: &str| {
        !name.is_empty()
            && !name.starts_with('-')
            && name.chars().all(|char| char.is_alphanumeric() || "-_.@".contains(char))
    };
    let of_one = |name: &str| all.iter().filter(|(_, other)| other == name).count() == 1;
    let mut offers = Vec::new();
    for (id, name) in &all {
        let is_offered = is_word(name) && of_one(name);
        if is_offered {
            offers.push((name.clone(), id.clone()));
        }
        if !is_offered || !is_nothing_typed {
            offers.push((id.clone(), name.clone()));
        }
    }
    offers
}

async fn replays(client: Client, organization_id: String) -> Vec<Offer> {
    let request = v1::ListReplaysRequest { organization_id, ..Default::default() };
    let replays: Result<Vec<_>, _> = client.items(request).take(MAX_REPLAYS).try_collect().await;
    let replays = replays.unwrap_or_default().into_iter().map(|replay| {
        let state = shown_enum("Replay.State", replay.state().into());
        let about = match replay.state() {
            State::Done | State::Cancelled => state,
            _ => format!("{state}, {} of {}", replay.scheduled_count, replay.matched_count),
        };
        (replay.id, about)
    });
    replays.collect()
}

async fn event_types(client: Client, organization_id: String) -> Vec<Offer> {
    let request = v1::ListEventTypesRequest { organization_id, ..Default::default() };
    let types: Result<Vec<_>, _> = client.items(request).try_collect().await;
    types.unwrap_or_default().into_iter().map(|item| (item.id, item.description)).collect()
}

/// What the server of the line says. Nothing: it is away, slow, or the key may not.
fn from_server<F: Future<Output = Vec<Offer>>>(
    list: impl FnOnce(Client, String) -> F,
) -> Vec<Offer> {
    let ask = async {
        let connection = Connection::of(&options_of_line()?).ok()?;
        let key = match &connection.key.as_ref()?.value {
            // The line's stdin is the terminal.
            Key::File(file) if file.as_os_str() == "-" => return None,
            key => key.read().ok()?,
        };
        let client = connection.client(Some(&key), TIME_LIMIT, RetryPolicy::none()).ok()?;
        let organization = match connection.organization {
            Some(organization) => organization,
            None => client.who_am_i(v1::WhoAmIRequest {}).await.ok()?.organization_id,
        };
        Some(list(client, organization).await)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return Vec::new() };
    let asked = runtime.block_on(async { tokio::time::timeout(TIME_LIMIT, ask).await });
    // A look-up of a name cannot be stopped: it is not waited for.
    runtime.shutdown_background();
    asked.ok().flatten().unwrap_or_default()
}

/// The options of the connection that the unfinished line has so far: the shell gives it after `--`.
fn options_of_line() -> Option<ConnectionOptions> {
    let line = env::args_os().skip_while(|argument| argument != "--").skip(1);
    let matches = Arguments::command().ignore_errors(true).try_get_matches_from(line).ok()?;
    ConnectionOptions::from_arg_matches(&matches).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_offered_before_ids_unless_they_are_no_word_or_not_of_one() {
        let all = [
            ("ep_1", "siem"),
            ("ep_2", "twin"),
            ("ep_3", "twin"),
            ("ep_4", "on call"),
            ("ep_5", ""),
        ];
        let all = || all.map(|(id, name)| (id.to_owned(), name.to_owned())).to_vec();
        let values = |nothing_typed| {
            let offers = offers(all(), nothing_typed);
            offers.into_iter().map(|(value, _)| value).collect::<Vec<_>>()
        };
        assert_eq!(values(true), ["siem", "ep_2", "ep_3", "ep_4", "ep_5"]);
        assert_eq!(values(false), ["siem", "ep_1", "ep_2", "ep_3", "ep_4", "ep_5"]);
    }
}
