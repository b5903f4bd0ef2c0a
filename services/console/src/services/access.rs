//! AccessService: the caller, sessions, keys.

use std::time::Duration;

use keeptrusts_webhooks_contracts::time::duration_to_proto;
use keeptrusts_webhooks_contracts::v1;
use tonic::Status;

use super::{OrganizationClient, PageRef, Services, with_credentials};
use crate::credentials::Credentials;

impl Services {
    /// The owner of a token.
    pub(crate) async fn who_am_i(
        &self,
        credentials: &Credentials,
    ) -> Result<v1::WhoAmIResponse, Status> {
        let mut client = self.access.clone();
        Ok(client.who_am_i(with_credentials(v1::WhoAmIRequest {}, credentials)).await?.into_inner())
    }

    /// Opens a session for an organization; empty: for the caller's only one.
    pub(crate) async fn create_session(
        &self,
        credentials: &Credentials,
        organization_id: String,
    ) -> Result<v1::CreateSessionResponse, Status> {
        let request =
            v1::CreateSessionRequest { organization_id, expiration: None, ..Default::default() };
        let mut client = self.access.clone();
        Ok(client.create_session(with_credentials(request, credentials)).await?.into_inner())
    }

    /// Ends the session that the credentials belong to.
    pub(crate) async fn end_session(&self, credentials: &Credentials) -> Result<(), Status> {
        let mut client = self.access.clone();
        client.end_session(with_credentials(v1::EndSessionRequest {}, credentials)).await?;
        Ok(())
    }
}

impl OrganizationClient {
    /// API keys or sessions.
    pub(crate) async fn keys(
        &self,
        page: PageRef<'_>,
        kind: v1::key::Kind,
    ) -> Result<v1::ListKeysResponse, Status> {
        let request = v1::ListKeysRequest {
            organization_id: self.id.clone(),
            page_size: page.size,
            page_token: page.token.to_owned(),
            kind: kind.into(),
            ..Default::default()
        };
        let mut client = self.services.access.clone();
        Ok(client.list_keys(self.with_credentials(request)).await?.into_inner())
    }

    pub(crate) async fn key(&self, id: &str) -> Result<v1::Key, Status> {
        let request = v1::GetKeyRequest { organization_id: self.id.clone(), key_id: id.to_owned() };
        let mut client = self.services.access.clone();
        let answer = client.get_key(self.with_credentials(request)).await?.into_inner();
        Ok(answer.key.unwrap_or_default())
    }

    /// Creates a key. Without a `life` it is valid for ever.
    pub(crate) async fn create_key(
        &self,
        name: String,
        role: v1::Role,
        life: Option<Duration>,
    ) -> Result<v1::CreateKeyResponse, Status> {
        let request = v1::CreateKeyRequest {
            organization_id: self.id.clone(),
            key: Some(v1::Key {
                display_name: name,
                role: role.into(),
                expiration: life.map(|life| v1::key::Expiration::Ttl(duration_to_proto(life))),
                ..v1::Key::default()
            }),
            ..Default::default()
        };
        let mut client = self.services.access.clone();
        Ok(client.create_key(self.with_credentials(request)).await?.into_inner())
    }

    /// Revokes a key or session, and on request everything that was created with it.
    pub(crate) async fn revoke_key(&self, id: &str, revoke_made: bool) -> Result<v1::Key, Status> {
        let request = v1::RevokeKeyRequest {
            organization_id: self.id.clone(),
            key_id: id.to_owned(),
            revoke_made,
        };
        let mut client = self.services.access.clone();
        Ok(client
            .revoke_key(self.with_credentials(request))
            .await?
            .into_inner()
            .key
            .unwrap_or_default())
    }
}
