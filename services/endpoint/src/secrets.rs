//! Generates and reveals the signing secrets of endpoints.

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::access::{Permission, Role};
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointCommand};
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::secret::Secret;
use keeptrusts_webhooks_process::declarative_resource::DeclarativeResource;
use keeptrusts_webhooks_process::sealing;
use keeptrusts_webhooks_store::random;
use tonic::Status;

use crate::api::EndpointApi;

pub(crate) fn generate() -> Secret {
    Secret::from_random(random())
}

impl EndpointApi {
    /// Decrypts an endpoint's secret, with an entry in the audit trail.
    pub(crate) async fn reveal(
        &self,
        organization: &OrganizationId,
        id: EndpointId,
        metadata: Metadata,
    ) -> Result<(Endpoint, Secret), Status> {
        let open = async |endpoint: &Endpoint| {
            let opened = self.keyring.open(organization, id, &endpoint.secret).await;
            opened.map_err(|error| sealing::failed(organization, error))
        };
        // What cannot be opened is not revealed, and leaves no entry in the audit trail.
        open(&self.read(organization, id).await?).await?;
        // Nobody sees a secret without an entry. The secret is the one of that moment, in case it was
        // rotated in between.
        let command = EndpointCommand::RevealSecret;
        let endpoint = self.execute(organization, id, command, None, metadata).await?;
        let secret = open(&endpoint).await?;
        Ok((endpoint, secret))
    }

    /// The endpoint that an earlier request was about, as it is now, and its present secret. That may
    /// be another one than the first answer had, so it is revealed like any other: None if the role
    /// may not, or if that is only checked.
    pub(crate) async fn reveal_again(
        &self,
        role: Role,
        organization: &OrganizationId,
        stream: Stream,
        validate_only: bool,
        metadata: Metadata,
    ) -> Result<(v1::Endpoint, Option<Secret>), Status> {
        let Stream::Endpoint(id) = stream else { return Err(status::internal()) };
        let existing = self.read_again(organization, id).await?;
        if validate_only || !role.may(Permission::RevealSecrets) {
            return Ok((self.message(&existing).await?, None));
        }
        // The entry is of no request: that has its record.
        let metadata = Metadata { request: None, correlation_id: id.to_string(), ..metadata };
        let (endpoint, secret) = self.reveal(organization, id, metadata).await?;
        Ok((self.message_after_change(&endpoint).await, Some(secret)))
    }
}
