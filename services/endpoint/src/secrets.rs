//! Seals the signing secrets of endpoints, and turns failures into statuses.

use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::secret::{SealedSecret, Secret};
use keeptrusts_webhooks_process::database_errors;
use keeptrusts_webhooks_store::random;
use keeptrusts_webhooks_store::vault::keyring::{KeyProblem, SecretError, SecretOwner};
use tonic::Status;

use crate::api::EndpointApi;

pub(crate) fn generate() -> Secret {
    Secret::from_random(random())
}

/// What a secret is sealed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sealing {
    /// For the log.
    ForLog,
    /// For a request that is only checked, which leaves no data key behind.
    ForCheck,
}

impl Sealing {
    pub(crate) fn unless(validate_only: bool) -> Sealing {
        if validate_only { Sealing::ForCheck } else { Sealing::ForLog }
    }
}

impl EndpointApi {
    /// Encrypts a secret of an endpoint. The ciphertext of the same secret stays: `current`. A request
    /// for a missing endpoint must not come here, because it would leave a data key behind.
    pub(crate) async fn seal(
        &self,
        sealing: Sealing,
        organization: &OrganizationId,
        owner: impl Into<SecretOwner>,
        secret: &Secret,
        current: Option<&SealedSecret>,
    ) -> Result<SealedSecret, Status> {
        let (keyring, owner) = (&self.keyring, owner.into());
        let sealed = match sealing {
            Sealing::ForLog => keyring.seal_changed(organization, owner, secret, current).await,
            Sealing::ForCheck => keyring.seal_for_check(organization, owner, secret, current).await,
        };
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
