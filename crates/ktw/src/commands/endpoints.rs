//! `ktw endpoints`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use keeptrusts_webhooks_client::{Code, v1};
use prost_types::FieldMask;

use crate::completion;
use crate::descriptors::to_json;
use crate::failure::Failure;
use crate::files::{self, read_secret};
use crate::options::{ListOptions, duration, value_of};
use crate::output::{Column, Kind, View, message};
use crate::prompt;
use crate::references::EndpointArgument;
use crate::session::Session;

pub(super) const VIEW: View = View {
    message: "Endpoint",
    plural: "endpoints",
    id: "id",
    columns: &[
        Column::new("ID", "id", Kind::Text),
        Column::new("NAME", "display_name", Kind::Text),
        Column::new("STATE", "state", Kind::Enum),
        Column::new("URL", "url", Kind::Text),
        Column::new("FORMAT", "payload_format", Kind::Enum),
        Column::new("EVENT TYPES", "event_types", Kind::List),
    ],
};

pub(super) const STATS: View = View {
    message: "GetEndpointStatsResponse",
    plural: "statistics",
    id: "",
    columns: &[
        Column::new("DELIVERED", "total.delivered_count", Kind::Text),
        Column::new("RETRYING", "total.retrying_count", Kind::Text),
        Column::new("FAILED", "total.failed_count", Kind::Text),
    ],
};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Lists endpoints, the newest first.
    List(List),
    /// Shows an endpoint.
    Get(EndpointArgument),
    /// Creates an endpoint and shows its secret.
    Create(Create),
    /// Changes an endpoint: only what is given.
    Update(Update),
    /// Creates or changes endpoints so that they are as a file says. Applied twice, it changes nothing.
    Apply(Apply),
    /// Resumes deliveries.
    Enable(EndpointArgument),
    /// Stops deliveries and keeps the configuration.
    Disable(Disable),
    /// Deletes an endpoint. Its history stays readable.
    Delete(Delete),
    /// Replaces the secret and shows the new one. The old one signs beside it for a while.
    RotateSecret(RotateSecret),
    /// Shows the secret, which the audit trail records.
    RevealSecret(EndpointArgument),
    /// Counts and durations of the attempts of the last hours.
    Stats(Stats),
}

#[derive(Args)]
pub(crate) struct List {
    /// Only in this state; may be repeated.
    #[arg(id = "states", long = "state", value_name = "STATE", value_parser = value_of("Endpoint.State"))]
    states: Vec<i32>,
    /// Only if the name or the URL contains this.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    search: String,
    /// The order: `display_name`, `url`, `state`, `create_time` or `update_time`, with ` desc` for the reverse.
    #[arg(long, value_name = "FIELD", default_value = "", hide_default_value = true)]
    order_by: String,
    #[command(flatten)]
    list: ListOptions,
}

/// What customers set of an endpoint.
#[derive(Args)]
struct Configuration {
    /// A label for people.
    #[arg(long = "name", value_name = "TEXT")]
    display_name: Option<String>,
    /// Where deliveries are POSTed to: https.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Notes about the purpose.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// What is delivered; separated by commas, or repeated. `ktw events types` lists them; `all` is every type.
    #[arg(long, value_name = "TYPES", value_delimiter = ',', add = completion::event_types())]
    event_types: Option<Vec<String>>,
    /// The format of the bodies.
    #[arg(long = "format", value_name = "FORMAT", value_parser = value_of("PayloadFormat"))]
    payload_format: Option<i32>,
    /// A file with the template of the format `custom`; `-` for stdin.
    #[arg(id = "payload_template", long = "template-file", value_name = "FILE")]
    template_file: Option<PathBuf>,
    /// A file with a signing secret of your own; `-` for stdin.
    #[arg(id = "secret", long = "secret-file", value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// A file with the integration key of PagerDuty; `-` for stdin.
    #[arg(id = "routing_key", long = "routing-key-file", value_name = "FILE")]
    routing_key_file: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Create {
    #[command(flatten)]
    configuration: Configuration,
    /// An id of your own: `ep_` and a ULID.
    #[arg(
        id = "endpoint_id",
        long = "id",
        value_name = "ID",
        default_value = "",
        hide_default_value = true
    )]
    id: String,
    /// Only checks, and shows what would be created.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Update {
    #[command(flatten)]
    endpoint: EndpointArgument,
    #[command(flatten)]
    configuration: Configuration,
    /// Only if the endpoint still has this etag.
    #[arg(long, value_name = "ETAG", default_value = "", hide_default_value = true)]
    etag: String,
    /// Only checks, and shows the endpoint as it would be.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Apply {
    /// JSON or YAML: an endpoint or a list of them, each with its `id` and the fields of the API; `-` for stdin.
    #[arg(long, short, value_name = "FILE")]
    file: PathBuf,
    /// Only checks, and shows the endpoints as they would be.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Disable {
    #[command(flatten)]
    endpoint: EndpointArgument,
    /// Why, for people who ask later.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

#[derive(Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    endpoint: EndpointArgument,
    /// Succeeds also if there is no such endpoint.
    #[arg(long)]
    allow_missing: bool,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

#[derive(Args)]
pub(crate) struct RotateSecret {
    #[command(flatten)]
    endpoint: EndpointArgument,
    /// How long the old secret goes on signing: 0s to 30d.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    overlap: Duration,
    /// A file with a new secret of your own; `-` for stdin. By default one is generated.
    #[arg(id = "secret", long = "secret-file", value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Stats {
    #[command(flatten)]
    endpoint: EndpointArgument,
    /// How far back: 1h to 30d.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    window: Duration,
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let organization_id = session.organization().await?;
        match self {
            Command::List(list) => list.run(session, organization_id).await,
            Command::Get(endpoint) => {
                let endpoint_id = endpoint.id(session).await?;
                let request = v1::GetEndpointRequest { organization_id, endpoint_id };
                let response = session.client.get_endpoint(request).await?;
                show(session, response.endpoint).await
            }
            Command::Create(create) => create.run(session, organization_id).await,
            Command::Update(update) => update.run(session, organization_id).await,
            Command::Apply(apply) => apply.run(session, organization_id).await,
            Command::Enable(endpoint) => {
                let endpoint_id = endpoint.id(session).await?;
                let request = v1::EnableEndpointRequest { organization_id, endpoint_id };
                let response = session.client.enable_endpoint(request).await?;
                show(session, response.endpoint).await
            }
            Command::Disable(Disable { endpoint, reason }) => {
                let endpoint_id = endpoint.id(session).await?;
                let request = v1::DisableEndpointRequest { organization_id, endpoint_id, reason };
                let response = session.client.disable_endpoint(request).await?;
                show(session, response.endpoint).await
            }
            Command::Delete(delete) => delete.run(session, organization_id).await,
            Command::RotateSecret(rotate) => rotate.run(session, organization_id).await,
            Command::RevealSecret(endpoint) => {
                let endpoint_id = endpoint.id(session).await?;
                let request = v1::RevealSecretRequest { organization_id, endpoint_id };
                let response = session.client.reveal_secret(request).await?;
                session.print(&SECRET, &to_json("RevealSecretResponse", &response)).await
            }
            Command::Stats(Stats { endpoint, window }) => {
                let endpoint_id = endpoint.id(session).await?;
                let window = Some(files::to_proto(window));
                let request = v1::GetEndpointStatsRequest { organization_id, endpoint_id, window };
                let response = session.client.get_endpoint_stats(request).await?;
                session.print(&STATS, &to_json("GetEndpointStatsResponse", &response)).await
            }
        }
    }
}

pub(super) const SECRET: View = View {
    message: "RevealSecretResponse",
    plural: "secrets",
    id: "secret",
    columns: &[Column::new("SECRET", "secret", Kind::Text)],
};

async fn show(session: &Session, endpoint: Option<v1::Endpoint>) -> Result<(), Failure> {
    session.print(&VIEW, &to_json("Endpoint", &endpoint.unwrap_or_default())).await
}

impl List {
    async fn run(self, session: &Session, organization_id: String) -> Result<(), Failure> {
        let request = v1::ListEndpointsRequest {
            organization_id,
            states: self.states,
            search: self.search,
            order_by: self.order_by,
            page_size: self.list.page_size(),
            ..Default::default()
        };

        session.list(&VIEW, self.list.limit(), request).await
    }
}

impl Configuration {
    /// The endpoint, and the fields of it that are given.
    async fn read(self, session: &Session) -> Result<(v1::Endpoint, Vec<String>), Failure> {
        let mut endpoint = v1::Endpoint::default();
        let mut given = Vec::new();
        let mut give = |field: &str| given.push(field.to_owned());
        if let Some(display_name) = self.display_name {
            endpoint.display_name = display_name;
            give("display_name");
        }
        if let Some(url) = self.url {
            endpoint.url = url;
            give("url");
        }
        if let Some(description) = self.description {
            endpoint.description = description;
            give("description");
        }
        if let Some(event_types) = self.event_types {
            let has_all = event_types.iter().any(|name| name == "all");
            if has_all && event_types.len() > 1 {
                return Err(Failure::Usage(
                    "--event-types: `all` is every type, and stands alone".to_owned(),
                ));
            }
            endpoint.event_types = match has_all {
                true => session.event_types().await?.into_iter().map(|known| known.id).collect(),
                false => event_types,
            };
            give("event_types");
        }
        if let Some(format) = self.payload_format {
            endpoint.payload_format = format;
            give("payload_format");
        }
        if let Some(file) = self.template_file {
            endpoint.payload_template = files::read_text(&file)?;
            give("payload_template");
        }
        if let Some(file) = self.secret_file {
            endpoint.secret = read_secret(&file)?;
            give("secret");
        }
        if let Some(file) = self.routing_key_file {
            endpoint.routing_key = read_secret(&file)?;
            give("routing_key");
        }
        Ok((endpoint, given))
    }
}

impl Create {
    async fn run(self, session: &Session, organization_id: String) -> Result<(), Failure> {
        let (endpoint, _) = self.configuration.read(session).await?;
        let request = v1::CreateEndpointRequest {
            organization_id,
            endpoint: Some(endpoint),
            endpoint_id: self.id,
            validate_only: self.dry_run,
            ..Default::default()
        };
        let response = session.client.create_endpoint(request).await?;
        if self.dry_run {
            message("Nothing was created.");
            return show(session, response.endpoint).await;
        }
        if session.output.is_for_people() {
            show(session, response.endpoint).await?;
            return session.output.write(&format!(
                "secret:  {}\n\nVerify signatures with the secret; only `ktw endpoints reveal-secret` shows it again.\n",
                response.secret
            ));
        }
        session.print(&CREATED, &to_json("CreateEndpointResponse", &response)).await
    }
}

pub(super) const CREATED: View = View {
    message: "CreateEndpointResponse",
    plural: "endpoints",
    id: "endpoint.id",
    columns: &[
        Column::new("ID", "endpoint.id", Kind::Text),
        Column::new("SECRET", "secret", Kind::Text),
    ],
};

impl Update {
    async fn run(self, session: &Session, organization_id: String) -> Result<(), Failure> {
        let id = self.endpoint.id(session).await?;
        let (endpoint, paths) = self.configuration.read(session).await?;
        if paths.is_empty() {
            return Err(Failure::Usage("nothing to change: give at least one of --name, --url, --description, --event-types, --format, --template-file, --secret-file, --routing-key-file".to_owned()));
        }
        let request = v1::UpdateEndpointRequest {
            organization_id,
            endpoint: Some(v1::Endpoint { id, etag: self.etag, ..endpoint }),
            update_mask: Some(FieldMask { paths }),
            validate_only: self.dry_run,
            ..Default::default()
        };
        let response = session.client.update_endpoint(request).await?;
        if self.dry_run {
            message("Nothing was changed.");
        }
        show(session, response.endpoint).await
    }
}

/// What applying has done, or would do.
fn outcome(before: Option<&v1::Endpoint>, after: &v1::Endpoint, is_dry: bool) -> &'static str {
    let times_apart = |endpoint: &v1::Endpoint| v1::Endpoint {
        update_time: None,
        etag: String::new(),
        ..endpoint.clone()
    };
    match (before, is_dry) {
        (None, true) => "would be created",
        (None, false) => "created",
        (Some(before), true) if times_apart(before) != times_apart(after) => "would be changed",
        (Some(before), false) if before.etag != after.etag => "changed",
        (Some(_), _) => "unchanged",
    }
}

impl Apply {
    /// The endpoint as it is. None: it does not exist.
    async fn before(
        &self,
        session: &Session,
        organization_id: &str,
        id: &str,
    ) -> Result<Option<v1::Endpoint>, Failure> {
        let (organization_id, endpoint_id) = (organization_id.to_owned(), id.to_owned());
        let request = v1::GetEndpointRequest { organization_id, endpoint_id };
        match session.client.get_endpoint(request).await {
            Ok(response) => Ok(response.endpoint),
            Err(error) if error.code() == Code::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn run(self, session: &Session, organization_id: String) -> Result<(), Failure> {
        let endpoints = files::read_resources::<v1::Endpoint>("Endpoint", &self.file)?;
        files::require_ids(&endpoints, |endpoint| &endpoint.id, "endpoint", "ep_")?;
        let mut applied = Vec::new();
        for (endpoint, paths) in endpoints {
            let id = endpoint.id.clone();
            let before = self.before(session, &organization_id, &id).await?;
            let request = v1::UpdateEndpointRequest {
                organization_id: organization_id.clone(),
                endpoint: Some(endpoint),
                update_mask: Some(FieldMask { paths }),
                allow_missing: true,
                validate_only: self.dry_run,
            };
            match session.client.update_endpoint(request).await {
                Ok(response) => {
                    let endpoint = response.endpoint.unwrap_or_default();
                    let (is_dry, name) = (self.dry_run, &endpoint.display_name);
                    message(&format!(
                        "{id} {name}: {}",
                        outcome(before.as_ref(), &endpoint, is_dry)
                    ));
                    applied.push(to_json("Endpoint", &endpoint));
                }
                Err(status) => {
                    session.print_list(&VIEW, &applied).await?;
                    message(&format!("{id}: not applied, and none after it"));
                    return Err(status.into());
                }
            }
        }
        session.print_list(&VIEW, &applied).await
    }
}

impl Delete {
    async fn run(self, session: &Session, organization_id: String) -> Result<(), Failure> {
        let endpoint_id = match self.endpoint.id(session).await {
            Err(Failure::NotFound(_)) if self.allow_missing => return Ok(()),
            found => found?,
        };
        if !self.yes {
            let request = v1::GetEndpointRequest {
                organization_id: organization_id.clone(),
                endpoint_id: endpoint_id.clone(),
            };
            let endpoint = session.client.get_endpoint(request).await?.endpoint;
            let name = endpoint.unwrap_or_default().display_name;
            prompt::confirm(&format!(
                "Delete the endpoint {name:?}? Its waiting deliveries are cancelled."
            ))?;
        }
        let request = v1::DeleteEndpointRequest {
            organization_id,
            endpoint_id,
            allow_missing: self.allow_missing,
            ..Default::default()
        };
        session.client.delete_endpoint(request).await?;
        Ok(())
    }
}

impl RotateSecret {
    async fn run(self, session: &Session, organization_id: String) -> Result<(), Failure> {
        let secret = self.secret_file.map(|file| read_secret(&file)).transpose()?;
        let request = v1::RotateSecretRequest {
            organization_id,
            endpoint_id: self.endpoint.id(session).await?,
            secret: secret.unwrap_or_default(),
            overlap: Some(files::to_proto(self.overlap)),
            ..Default::default()
        };
        let response = session.client.rotate_secret(request).await?;
        let view = View { message: "RotateSecretResponse", ..CREATED };
        session.print(&view, &to_json("RotateSecretResponse", &response)).await
    }
}
