//! Keys and sessions, through the API.

use keeptrusts_webhooks_contracts::client::{AuthorizedChannel, Bearer};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::access_service_client::AccessServiceClient;
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use tonic::transport::Endpoint;

use crate::console::fixture::ORGANIZATION;
use crate::platform::Server;

/// A client of AccessService with the first key.
pub(crate) struct AccessClient(AccessServiceClient<AuthorizedChannel>);

impl AccessClient {
    pub(crate) fn new(server: &Server) -> Self {
        let target = Endpoint::from_shared(format!("http://{}", server.address()));
        let channel = target.expect("an address makes a URL").connect_lazy();
        let bearer = Bearer::new(FIRST_KEY).expect("a token");
        Self(AccessServiceClient::new(bearer.on(channel)))
    }

    /// Creates a key of the organization that the console shows; returns its token.
    pub(crate) async fn create_key(&self, name: &str, role: v1::Role) -> String {
        self.create_key_for(name, role, None).await
    }

    /// The same, valid for so many seconds; None: for ever.
    pub(crate) async fn create_key_for(
        &self,
        name: &str,
        role: v1::Role,
        seconds: Option<i64>,
    ) -> String {
        let request = v1::CreateKeyRequest {
            organization_id: ORGANIZATION.to_owned(),
            key: Some(v1::Key {
                display_name: name.to_owned(),
                role: role.into(),
                expiration: seconds.map(|seconds| {
                    v1::key::Expiration::Ttl(prost_types::Duration { seconds, nanos: 0 })
                }),
                ..v1::Key::default()
            }),
            ..Default::default()
        };
        let created = self.0.clone().create_key(request).await.expect("a key");
        created.into_inner().token
    }

    /// The organization's keys or sessions, newest first.
    pub(crate) async fn list(&self, organization: &str, kind: v1::key::Kind) -> Vec<v1::Key> {
        let request = v1::ListKeysRequest {
            organization_id: organization.to_owned(),
            kind: kind.into(),
            ..Default::default()
        };
        self.0.clone().list_keys(request).await.expect("keys").into_inner().keys
    }

    /// Ends every session of an organization.
    pub(crate) async fn end_all_sessions(&self, organization: &str) {
        for session in self.list(organization, v1::key::Kind::Session).await {
            let request = v1::RevokeKeyRequest {
                organization_id: organization.to_owned(),
                key_id: session.id,
                revoke_made: false,
            };
            self.0.clone().revoke_key(request).await.expect("it ends");
        }
    }
}
