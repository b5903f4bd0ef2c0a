//! Seals the signing secrets of endpoints, and turns failures into statuses.

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Reason, Resource};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointCommand};
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::secret::{SealedSecret, Secret};
use keeptrusts_webhooks_process::database_errors;
use keeptrusts_webhooks_store::random;
use keeptrusts_webhooks_store::vault::keyring::{KeyProblem, SecretError};
use tonic::Status;

use crate::api::EndpointApi;

pub(crate) fn generate() -> Secret {
    Secret::from_random(random())
}

impl EndpointApi {
    /// Encrypts a new endpoint's secret.
    pub(crate) async fn seal(
        &self,
        organization: &OrganizationId,
        id: EndpointId,
        secret: &Secret,
    ) -> Result<SealedSecret, Status> {
        let sealed = self.keyring.seal(organization, id, secret).await;
        sealed.map_err(|error| failed(organization, error))
    }

    /// Encrypts a secret of an existing endpoint. A request for a missing endpoint must not leave a
    /// data key behind.
    pub(crate) async fn seal_anew(
        &self,
        organization: &OrganizationId,
        id: EndpointId,
        secret: &Secret,
    ) -> Result<SealedSecret, Status> {
        let endpoint = self.read(organization, id).await?;
        let current = Some(&endpoint.secret);
        let sealed = self.keyring.seal_changed(organization, id, secret, current).await;
        sealed.map_err(|error| failed(organization, error))
    }

    /// Decrypts an endpoint's secret, with an entry in the audit trail.
    pub(crate) async fn reveal(
        &self,
        organization: &OrganizationId,
        id: EndpointId,
        metadata: Metadata,
    ) -> Result<(Endpoint, Secret), Status> {
        let open = async |endpoint: &Endpoint| {
            let opened = self.keyring.open(organization, id, &endpoint.secret).await;
            opened.map_err(|error| failed(organization, error))
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
    /// be another one than the first answer had, so it is revealed like any other.
    pub(crate) async fn reveal_again(
        &self,
        organization: &OrganizationId,
        stream: Stream,
        metadata: Metadata,
    ) -> Result<(v1::Endpoint, Secret), Status> {
        let Stream::Endpoint(id) = stream else { return Err(status::internal()) };
        if self.existing(organization, id).await?.is_none() {
            return Err(status::not_found_any_more(Resource::Endpoint, id));
        }
        // The entry is of no request: that has its record.
        let metadata = Metadata { request: None, correlation_id: id.to_string(), ..metadata };
        let (endpoint, secret) = self.reveal(organization, id, metadata).await?;
        Ok((self.message_after_change(&endpoint).await, secret))
    }
}

/// The status of a secret that could not be sealed or opened.
pub(crate) fn failed(organization: &OrganizationId, error: SecretError) -> Status {
    match error {
        SecretError::Store(error) => database_errors::query_failed(error),
        SecretError::Key(KeyProblem::Erased { .. }) => status::failed_precondition(
            Reason::OrganizationErased,
            "the organization was erased, and there are no secrets in it any more: use another organization_id",
        ),
        SecretError::Key(problem) => {
            tracing::error!(%organization, error = %problem, "cannot seal or open a secret");
            status::internal()
        }
    }
}
