//! Seals what customers entrust to us, and turns failures into statuses.

use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::secret::{SealedSecret, Secret};
use keeptrusts_webhooks_store::vault::keyring::{KeyProblem, Keyring, SecretError, SecretOwner};
use tonic::Status;

use crate::database_errors;

/// What a secret is sealed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealing {
    /// For the log.
    ForLog,
    /// For a request that is only checked, which leaves no data key behind.
    ForCheck,
}

impl Sealing {
    pub fn unless(validate_only: bool) -> Sealing {
        if validate_only { Sealing::ForCheck } else { Sealing::ForLog }
    }

    /// Encrypts a secret. The ciphertext of the same secret stays: `current`. A request for something
    /// that is missing must not come here, because it would leave a data key behind.
    pub async fn seal(
        self,
        keyring: &Keyring,
        organization: &OrganizationId,
        owner: impl Into<SecretOwner>,
        secret: &Secret,
        current: Option<&SealedSecret>,
    ) -> Result<SealedSecret, Status> {
        let owner = owner.into();
        let sealed = match self {
            Sealing::ForLog => keyring.seal_changed(organization, owner, secret, current).await,
            Sealing::ForCheck => keyring.seal_for_check(organization, owner, secret, current).await,
        };
        sealed.map_err(|error| failed(organization, error))
    }
}

/// The status of a secret that could not be sealed or opened.
pub fn failed(organization: &OrganizationId, error: SecretError) -> Status {
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
