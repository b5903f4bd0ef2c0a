//! Endpoints as they are shown: with what is known of them besides their configuration.

use keeptrusts_webhooks_contracts::time::timestamp_to_proto;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_process::answer;
use tonic::Status;

use crate::EndpointApi;

impl EndpointApi {
    pub(crate) async fn shown(&self, endpoint: &Endpoint) -> Result<v1::Endpoint, Status> {
        let one = std::slice::from_ref(endpoint);
        let mut shown = self.all_shown(&endpoint.organization_id, one).await?;
        Ok(shown.remove(0))
    }

    /// The same after a change, which is committed: a query that fails now (it has been logged)
    /// must not hide that, nor a new secret that is answered with it.
    pub(crate) async fn changed(&self, endpoint: &Endpoint) -> v1::Endpoint {
        self.shown(endpoint).await.unwrap_or_else(|_| endpoint.into())
    }

    /// Two queries more, whatever the number: few endpoints only fail, and few are paused.
    pub(crate) async fn all_shown(
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
        let (failing, pauses) = known.map_err(answer::query_failed)?;
        let now = (self.clock)();
        let shown = endpoints.iter().map(|endpoint| v1::Endpoint {
            failing_since_time: failing.get(&endpoint.id).map(|of| timestamp_to_proto(of.since)),
            pause: pauses.get(&endpoint.id).and_then(|pause| v1::EndpointPause::of(pause, now)),
            ..endpoint.into()
        });
        Ok(shown.collect())
    }
}
