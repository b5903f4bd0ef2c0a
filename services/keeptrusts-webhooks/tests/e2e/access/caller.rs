//! A caller with a token, or without one.

use keeptrusts_webhooks_contracts::client::{AuthorizedChannel, Bearer};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::access_service_client::AccessServiceClient;
use keeptrusts_webhooks_contracts::v1::audit_service_client::AuditServiceClient;
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use tonic::Status;

use crate::platform::{Client, Server, channel};

/// A token, and the server that it is used with.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) channel: AuthorizedChannel,
}

impl Caller {
    pub(crate) fn with(server: &Server, token: &str) -> Caller {
        Caller { channel: Bearer::new(token).expect("a token").on(channel(server.address())) }
    }

    /// The admin of all organizations.
    pub(crate) fn first(server: &Server) -> Caller {
        Caller::with(server, FIRST_KEY)
    }

    pub(crate) fn access(&self) -> AccessServiceClient<AuthorizedChannel> {
        AccessServiceClient::new(self.channel.clone())
    }

    pub(crate) fn audit(&self) -> AuditServiceClient<AuthorizedChannel> {
        AuditServiceClient::new(self.channel.clone())
    }

    pub(crate) async fn who_am_i(&self) -> Result<v1::WhoAmIResponse, Status> {
        Ok(self.access().who_am_i(v1::WhoAmIRequest {}).await?.into_inner())
    }

    /// Creates a key that never expires.
    pub(crate) async fn create_key(
        &self,
        organization: &str,
        role: v1::Role,
    ) -> v1::CreateKeyResponse {
        let request = v1::CreateKeyRequest {
            organization_id: organization.to_owned(),
            key: Some(v1::Key {
                display_name: format!("{} of {organization}", role.as_str_name()),
                role: role.into(),
                expiration: None,
                ..v1::Key::default()
            }),
            ..Default::default()
        };
        self.access().create_key(request).await.expect("the key is made").into_inner()
    }

    pub(crate) async fn revoke(&self, organization: &str, key_id: &str) -> v1::Key {
        let request = v1::RevokeKeyRequest {
            organization_id: organization.to_owned(),
            key_id: key_id.to_owned(),
            revoke_made: false,
        };
        let answer = self.access().revoke_key(request).await.expect("the key is revoked");
        answer.into_inner().key.expect("a key")
    }
}

/// A client for the platform with this token.
pub(crate) fn client(server: &Server, organization: &str, token: &str) -> Client {
    let services = [(); 3].map(|()| channel(server.address()));
    Client::with_token(organization, services, token)
}
