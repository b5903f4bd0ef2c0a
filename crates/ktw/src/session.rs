//! What a command needs: a client of the server, the organization, and where results go.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use keeptrusts_webhooks_client::{Client, ListRequest, RetryPolicy, v1};
use prost::Message;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::connection::{Chosen, Connection};
use crate::descriptors::to_json;
use crate::failure::Failure;
use crate::names::{Named, Names, ids_at, ids_in};
use crate::options::{ConnectionOptions, OutputOptions};
use crate::output::{Output, View, message};

/// The type of what `ktw test` sends.
const TEST_TYPE: &str = "webhook.test";

/// A command's connection and output.
pub(crate) struct Session {
    pub(crate) client: Client,
    /// The same without retries, for what says itself that the server is away.
    pub(crate) watcher: Client,
    pub(crate) output: Output,
    /// The server, and where that was said.
    pub(crate) address: Chosen<String>,
    /// Where the key came from. None: there is none.
    pub(crate) key_source: Option<String>,
    /// How long a call may take.
    pub(crate) timeout: Duration,
    organization: Option<String>,
    caller: OnceCell<v1::WhoAmIResponse>,
    names: RefCell<Names>,
}

impl Session {
    /// Reads the profile and the key. Does not connect yet.
    pub(crate) fn new(
        options: &ConnectionOptions,
        output: OutputOptions,
    ) -> Result<Session, Failure> {
        let connection = Connection::of(options)?;
        let key = connection.key.as_ref().map(|key| key.value.read()).transpose()?;
        let client = |retry| connection.client(key.as_deref(), options.timeout, retry);
        Ok(Session {
            client: client(RetryPolicy::default())?,
            watcher: client(RetryPolicy::none())?,
            output: output.output(),
            address: connection.address,
            key_source: connection.key.map(|key| key.source),
            timeout: options.timeout,
            organization: connection.organization,
            caller: OnceCell::new(),
            names: RefCell::default(),
        })
    }

    /// The organization: that of the options or the profile, otherwise that of the key.
    pub(crate) async fn organization(&self) -> Result<String, Failure> {
        if let Some(organization) = &self.organization {
            return Ok(organization.clone());
        }
        self.chosen_organization(self.caller().await?)
    }

    /// The same for a caller who is known.
    pub(crate) fn chosen_organization(
        &self,
        caller: &v1::WhoAmIResponse,
    ) -> Result<String, Failure> {
        if let Some(organization) = &self.organization {
            return Ok(organization.clone());
        }
        match caller.organization_id.as_str() {
            "*" => Err(Failure::Usage(
                "the key is for every organization: say which with --organization".to_owned(),
            )),
            "" => Err(Failure::Usage(format!(
                "the token is for several organizations ({}): say which with --organization",
                caller.organization_ids.join(", ")
            ))),
            organization => Ok(organization.to_owned()),
        }
    }

    /// Who the key belongs to.
    pub(crate) async fn caller(&self) -> Result<&v1::WhoAmIResponse, Failure> {
        let ask = async || Ok(self.client.who_am_i(v1::WhoAmIRequest {}).await?);
        self.caller.get_or_try_init(ask).await
    }

    /// The types of events.
    pub(crate) async fn event_types(&self) -> Result<Vec<v1::EventType>, Failure> {
        let organization_id = self.organization().await?;
        let request = v1::ListEventTypesRequest { organization_id, ..Default::default() };
        Ok(self.client.items(request).try_collect().await?)
    }

    /// Refuses types that there are not, where the server has no chance to: they would be waited for without
    /// end.
    pub(crate) async fn check_event_types(&self, given: &[String]) -> Result<(), Failure> {
        if given.is_empty() {
            return Ok(());
        }
        let mut known: Vec<_> =
            self.event_types().await?.into_iter().map(|known| known.id).collect();
        // Nobody publishes it, so that it is not among them.
        known.push(TEST_TYPE.to_owned());
        match given.iter().find(|given| !known.contains(given)) {
            Some(unknown) => Err(Failure::Usage(format!(
                "there is no type {unknown:?}; there are: {}",
                known.join(", ")
            ))),
            None => Ok(()),
        }
    }

    /// Prints a list, page after page, to its end or to the limit.
    pub(crate) async fn list<R>(
        &self,
        view: &View,
        limit: Option<usize>,
        request: R,
    ) -> Result<(), Failure>
    where
        R: ListRequest,
        R::Item: Message,
    {
        let limit = limit.unwrap_or(usize::MAX);
        // One more, which says that there are more.
        let items = self.client.items(request).take(limit.saturating_add(1));
        let items = items.map_ok(|item| to_json(view.message, &item));
        let mut items: Vec<_> = items.try_collect().await?;
        let has_more = items.len() > limit;
        items.truncate(limit);
        self.print_list(view, &items).await?;
        if has_more {
            message(&format!("These are the first {limit}: --limit or --all for more."));
        }
        Ok(())
    }
    /// Prints a list that is there.
    pub(crate) async fn print_list(&self, view: &View, items: &[Value]) -> Result<(), Failure> {
        let paths = || view.columns.iter().map(|column| column.path);
        self.learn_names(|| items.iter().flat_map(|item| ids_at(item, paths())).collect()).await;
        self.output.list(view, items, &self.names.borrow())
    }

    /// Prints one resource, with all its fields.
    pub(crate) async fn print(&self, view: &View, item: &Value) -> Result<(), Failure> {
        let ids = || {
            let mut ids = Vec::new();
            ids_in(item, &mut ids);
            ids
        };
        self.learn_names(ids).await;
        self.output.one(view, item, &self.names.borrow())
    }

    /// Prints an item of a stream, at once. `is_first`: for headers.
    pub(crate) async fn print_item(
        &self,
        view: &View,
        item: &Value,
        is_first: bool,
    ) -> Result<(), Failure> {
        let paths = || view.columns.iter().map(|column| column.path);
        self.learn_names(|| ids_at(item, paths())).await;
        self.output.item(view, item, is_first, &self.names.borrow())
    }

    /// The name of an endpoint, or its id.
    pub(crate) async fn endpoint_label(&self, id: &str) -> String {
        self.learn_names(|| vec![(Named::Endpoint, id.to_owned())]).await;
        self.names.borrow().label(id)
    }

    /// Asks once for the names of what is shown to people. Without them ids are shown: they are a
    /// convenience, and the caller may not be permitted to read them.
    async fn learn_names(&self, ids: impl FnOnce() -> Vec<(Named, String)>) {
        if !self.output.is_for_people() {
            return;
        }
        let ids = ids();
        let missing = self.names.borrow().missing(&ids);
        for kind in missing {
            let Ok(organization) = self.organization().await else { return };
            let named = kind.list(&self.client, organization, "").await;
            self.names.borrow_mut().add(named.unwrap_or_default(), &ids);
        }
    }
}
