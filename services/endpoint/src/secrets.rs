//! Seals the signing secrets of endpoints, and turns failures into statuses.

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_contracts::status::{self, Reason, Resource};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::access::{Permission, Role};
use keeptrusts_webhooks_domain::endpoint::{Endpoint, EndpointCommand};
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::log::Stream;
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
    /// be another one than the first answer had, so it is revealed like any other: None if the role
    /// may not.
    pub(crate) async fn reveal_again(
        &self,
        role: Role,
        organization: &OrganizationId,
        stream: Stream,
        metadata: Metadata,
    ) -> Result<(v1::Endpoint, Option<Secret>), Status> {
        let Stream::Endpoint(id) = stream else { return Err(status::internal()) };
        let existing = self.existing(organization, id).await?;
        let existing =
            existing.ok_or_else(|| status::not_found_any_more(Resource::Endpoint, id))?;
        if !role.may(Permission::RevealSecrets) {
            return Ok((self.message(&existing).await?, None));
        }
        // The entry is of no request: that has its record.
        let metadata = Metadata { request: None, correlation_id: id.to_string(), ..metadata };
        let (endpoint, secret) = self.reveal(organization, id, metadata).await?;
        Ok((self.message_after_change(&endpoint).await, Some(secret)))
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
