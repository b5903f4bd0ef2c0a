//! Arguments that take an endpoint or a channel, by its id or its name.

use clap::Args;

use crate::completion;
use crate::failure::Failure;
use crate::names::Named;
use crate::session::Session;

/// One endpoint.
#[derive(Args)]
pub(crate) struct EndpointArgument {
    /// The endpoint: its id, or its name if no other one has it.
    #[arg(id = "endpoint_id", value_name = "ENDPOINT", add = completion::endpoints())]
    endpoint: String,
}

impl EndpointArgument {
    pub(crate) async fn id(self, session: &Session) -> Result<String, Failure> {
        session.id_of(Named::Endpoint, self.endpoint).await
    }
}

/// Only what belongs to these endpoints.
#[derive(Args)]
pub(crate) struct EndpointFilter {
    /// Only of this endpoint, by its id or its name; may be repeated.
    #[arg(id = "endpoint_ids", long = "endpoint", value_name = "ENDPOINT", add = completion::endpoints())]
    endpoints: Vec<String>,
}

impl EndpointFilter {
    pub(crate) async fn ids(self, session: &Session) -> Result<Vec<String>, Failure> {
        session.ids_of(Named::Endpoint, self.endpoints).await
    }
}

/// One channel.
#[derive(Args)]
pub(crate) struct ChannelArgument {
    /// The channel: its id, or its name if no other one has it.
    #[arg(id = "channel_id", value_name = "CHANNEL", add = completion::channels())]
    channel: String,
}

impl ChannelArgument {
    pub(crate) async fn id(self, session: &Session) -> Result<String, Failure> {
        session.id_of(Named::Channel, self.channel).await
    }
}

/// Only what belongs to these channels.
#[derive(Args)]
pub(crate) struct ChannelFilter {
    /// Only of this channel, by its id or its name; may be repeated.
    #[arg(id = "channel_ids", long = "channel", value_name = "CHANNEL", add = completion::channels())]
    channels: Vec<String>,
}

impl ChannelFilter {
    pub(crate) async fn ids(self, session: &Session) -> Result<Vec<String>, Failure> {
        session.ids_of(Named::Channel, self.channels).await
    }
}

impl Session {
    /// The id that is meant: one is taken as it is, otherwise it is the exact name of only one.
    async fn id_of(&self, kind: Named, given: String) -> Result<String, Failure> {
        if kind.is_id(&given) {
            return Ok(given);
        }
        let organization_id = self.organization().await?;
        kind.find(&given, kind.list(&self.client, organization_id, &given).await?)
    }

    async fn ids_of(&self, kind: Named, given: Vec<String>) -> Result<Vec<String>, Failure> {
        let mut ids = Vec::new();
        for one in given {
            ids.push(self.id_of(kind, one).await?);
        }
        Ok(ids)
    }
}
