//! Seals the secrets of channels. No answer contains them again.

use keeptrusts_webhooks_contracts::api::NewDestination;
use keeptrusts_webhooks_domain::channel::Destination;
use keeptrusts_webhooks_domain::ids::{ChannelId, OrganizationId};
use keeptrusts_webhooks_domain::secret::SealedSecret;
use keeptrusts_webhooks_process::sealing::Sealing;
use tonic::Status;

use crate::NotificationApi;

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
                Some(sealing.seal(&self.keyring, organization, id, &secret, current).await?)
            }
            None => None,
        };
        Ok(Destination { kind, address, secret })
    }
}
