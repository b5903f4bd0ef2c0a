//! What a command needs: a client of the server, the organization, and where results go.

use std::env;
use std::path::Path;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use keeptrusts_webhooks_client::{BuildError, Client, ListRequest, v1};
use prost::Message;
use tokio::sync::OnceCell;

use crate::descriptors::to_json;
use crate::failure::Failure;
use crate::files::read_secret;
use crate::options::{ConnectionOptions, OutputOptions};
use crate::output::{Output, View, message};
use crate::profiles::{Profile, Profiles};

/// The variable that has the key.
pub(crate) const KEY_VARIABLE: &str = "KEEPTRUSTS_WEBHOOKS_API_KEY";
/// The server of a first look: `keeptrusts-webhooks serve` on this machine.
const DEFAULT_ADDRESS: &str = "http://127.0.0.1:50051";

/// A command's connection and output.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) output: Output,
    /// The server, and where that was said.
    pub(crate) address: Chosen,
    /// Where the key came from. None: there is none.
    pub(crate) key_source: Option<String>,
    /// How long a call may take.
    pub(crate) timeout: Duration,
    organization: Option<String>,
    caller: OnceCell<v1::WhoAmIResponse>,
}

/// A setting, and where it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) value: String,
    pub(crate) source: String,
}

impl Session {
    /// Reads the profile and the key. Does not connect yet.
    pub(crate) fn new(
        options: &ConnectionOptions,
        output: OutputOptions,
    ) -> Result<Session, Failure> {
        let profiles = Profiles::load(&Profiles::path()?)?;
        let profile = profiles.choose(options.profile.as_deref())?.cloned().unwrap_or_default();
        let address = address(options, &profile);
        let mut builder = Client::builder(address.value.clone());
        builder = builder.deadline(options.timeout);
        builder = builder.user_agent(concat!("ktw/", env!("CARGO_PKG_VERSION")));
        let key = key(options, &profile, &address)?;
        let key_source = key.as_ref().map(|(_, source)| source.clone());
        if let Some((key, _)) = key {
            builder = builder.api_key(key);
        }
        if let Some(file) = options.ca_file.as_ref().or(profile.ca_file.as_ref()) {
            builder = builder.ca_file(file);
        }
        let certificate = options.client_cert.as_ref().or(profile.client_cert.as_ref());
        let private_key = options.client_key.as_ref().or(profile.client_key.as_ref());
        if let (Some(certificate), Some(private_key)) = (certificate, private_key) {
            builder = builder.client_certificate_files(certificate, private_key);
        }
        let client = builder.build();
        let client = client.map_err(|error| {
            Failure::Usage(match error {
                BuildError::Plaintext { .. } => {
                    format!("the key would go to {} unencrypted: use https://", address.value)
                }
                error => error.to_string(),
            })
        })?;
        let output = Output {
            format: output.output,
            query: output.query,
            zone: output.time_zone,
            paging: !output.no_pager,
        };
        let organization = options.organization.clone().or(profile.organization);
        let caller = OnceCell::new();
        let timeout = options.timeout;
        Ok(Session { client, output, address, key_source, timeout, organization, caller })
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
        self.output.list(view, &items)?;
        if has_more {
            message(&format!("These are the first {limit}: --limit or --all for more."));
        }
        Ok(())
    }
}

fn address(options: &ConnectionOptions, profile: &Profile) -> Chosen {
    let chosen =
        |value: &str, source: &str| Chosen { value: value.to_owned(), source: source.to_owned() };
    match &options.address {
        Some(address) => chosen(address, "--address or KEEPTRUSTS_WEBHOOKS_ADDRESS"),
        None if !profile.address.is_empty() => chosen(&profile.address, "the profile"),
        None => chosen(DEFAULT_ADDRESS, "the default"),
    }
}

/// The key, and where it comes from: what was given for this call wins.
fn key(
    options: &ConnectionOptions,
    profile: &Profile,
    address: &Chosen,
) -> Result<Option<(String, String)>, Failure> {
    let from_file = |file: &Path| Ok((read_secret(file)?, format!("the file {}", file.display())));
    if let Some(file) = &options.key_file {
        return from_file(file).map(Some);
    }
    if let Some(key) = env::var(KEY_VARIABLE).ok().filter(|key| !key.is_empty()) {
        return Ok(Some((key, format!("the variable {KEY_VARIABLE}"))));
    }
    // A key is told to nobody but the server that it was stored for.
    if (profile.key.is_some() || profile.key_file.is_some()) && profile.address != address.value {
        return Err(Failure::Usage(format!(
            "the profile's key is for {}, and the address is {} (from {}): give another key with --key-file or {KEY_VARIABLE}, or name another profile",
            profile.address, address.value, address.source
        )));
    }
    if let Some(key) = &profile.key {
        return Ok(Some((key.clone(), "the profile".to_owned())));
    }
    profile.key_file.as_deref().map(from_file).transpose()
}
