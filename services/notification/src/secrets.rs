//! Seals the secrets of channels. No answer contains them again.

use keeptrusts_webhooks_contracts::api::NewDestination;
use keeptrusts_webhooks_contracts::status::{self, Reason};
use keeptrusts_webhooks_domain::channel::Destination;
use keeptrusts_webhooks_domain::ids::{ChannelId, OrganizationId};
use keeptrusts_webhooks_domain::secret::SealedSecret;
use keeptrusts_webhooks_process::database_errors;
use keeptrusts_webhooks_store::vault::keyring::{KeyProblem, SecretError};
use tonic::Status;

use crate::NotificationApi;

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

impl NotificationApi {
    /// Encrypts the secret of a destination, if it has one, which replaces `current`.
    pub(crate) async fn seal(
        &self,
        sealing: Sealing,
        organization: &OrganizationId,
        id: ChannelId,
        destination: NewDestination,
        current: Option<&SealedSecret>,
    ) -> Result<Destination, Status> {
        let NewDestination { kind, address, secret } = destination;
        let secret = match secret {
            Some(secret) => {
                let keyring = &self.keyring;
                let sealed = match sealing {
                    Sealing::ForLog => {
                        keyring.seal_changed(organization, id, &secret, current).await
                    }
                    Sealing::ForCheck => {
                        keyring.seal_for_check(organization, id, &secret, current).await
                    }
                };
                Some(sealed.map_err(|error| failed(organization, error))?)
            }
            None => None,
        };
        Ok(Destination { kind, address, secret })
    }
}

fn failed(organization: &OrganizationId, error: SecretError) -> Status {
    match error {
        SecretError::Store(error) => database_errors::query_failed(error),
        SecretError::Key(KeyProblem::Erased { .. }) => status::failed_precondition(
            Reason::OrganizationErased,
            "the organization was erased, and there are no secrets in it any more: use another organization_id",
        ),
        SecretError::Key(problem) => {
            tracing::error!(%organization, error = %problem, "cannot seal a secret");
            status::internal()
        }
    }
}
