//! The protobuf messages of endpoints: their configuration, and whether they fail or are paused.

use keeptrusts_webhooks_contracts::time::timestamp_to_proto;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_process::database_errors;
use tonic::Status;

use crate::api::EndpointApi;

impl EndpointApi {
    pub(crate) async fn message(&self, endpoint: &Endpoint) -> Result<v1::Endpoint, Status> {
        let one = std::slice::from_ref(endpoint);
        let mut messages = self.messages(&endpoint.organization_id, one).await?;
        Ok(messages.remove(0))
    }

    /// Like [`message`](Self::message), after a committed change. If a query fails now (it is
    /// logged), the answer must not hide the change, nor a new secret in it.
    pub(crate) async fn message_after_change(&self, endpoint: &Endpoint) -> v1::Endpoint {
        self.message(endpoint).await.unwrap_or_else(|_| endpoint.into())
    }

    /// Takes two queries for any number of endpoints, because few of them fail or are paused.
    pub(crate) async fn messages(
        &self,
        organization: &OrganizationId,
        endpoints: &[Endpoint],
    ) -> Result<Vec<v1::Endpoint>, Status> {
        let shard = self.log.shard_of(organization);
        let store = self.log.store();
        let known = tokio::try_join!(
            store.failing_endpoints(shard, Some(organization)),
            store.endpoint_pauses(shard, Some(organization)),
        );
        let (failing, pauses) = known.map_err(database_errors::query_failed)?;
        let now = (self.clock)();
        let messages = endpoints.iter().map(|endpoint| v1::Endpoint {
            failing_since_time: failing.get(&endpoint.id).map(|of| timestamp_to_proto(of.since)),
            pause: pauses.get(&endpoint.id).and_then(|pause| v1::EndpointPause::of(pause, now)),
            ..endpoint.into()
        });
        Ok(messages.collect())
    }
}
