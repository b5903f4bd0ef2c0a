//! Seals the signing secrets of endpoints, and turns failures into statuses.

use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
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
