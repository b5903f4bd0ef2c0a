//! The protobuf messages of endpoints: their configuration, and whether they fail or are paused.

use std::collections::HashMap;

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::endpoint::{
    EffectiveEndpointState, Endpoint, EndpointState, FailureStreak,
};
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::pause::Pause;
use keeptrusts_webhooks_process::database_errors;
use keeptrusts_webhooks_store::queries::StateFilter;
use tonic::Status;

use crate::api::EndpointApi;

/// What is not stored with an organization's endpoints, at one moment. A list is filtered by it and shows
/// it, so that no endpoint is shown in a state that was not asked for.
pub(crate) struct EndpointHealth {
    failing: HashMap<EndpointId, FailureStreak>,
    pauses: HashMap<EndpointId, Pause>,
    now: Timestamp,
}

impl EndpointHealth {
    pub(crate) fn message(&self, endpoint: &Endpoint) -> v1::Endpoint {
        let (failing, pause) = (self.failing.get(&endpoint.id), self.pauses.get(&endpoint.id));
        v1::Endpoint::of(endpoint, failing, pause, self.now)
    }

    /// Lets endpoints in one of these states through; none: all.
    pub(crate) fn filter(&self, states: &[EffectiveEndpointState]) -> StateFilter<EndpointState> {
        let failing = self.failing.iter().filter(|(_, streak)| streak.is_failing(self.now));
        StateFilter::of_endpoints(states, failing.map(|(id, _)| *id))
    }
}

impl EndpointApi {
    pub(crate) async fn message(&self, endpoint: &Endpoint) -> Result<v1::Endpoint, Status> {
        Ok(self.health(&endpoint.organization_id).await?.message(endpoint))
    }

    /// Like [`message`](Self::message), after a committed change. If a query fails now (it is
    /// logged), the answer must not hide the change, nor a new secret in it.
    pub(crate) async fn message_after_change(&self, endpoint: &Endpoint) -> v1::Endpoint {
        let message = self.message(endpoint).await;
        message.unwrap_or_else(|_| v1::Endpoint::of(endpoint, None, None, (self.clock)()))
    }

    /// Takes two queries for any number of endpoints, because few of them fail or are paused.
    pub(crate) async fn health(
        &self,
        organization: &OrganizationId,
    ) -> Result<EndpointHealth, Status> {
        let shard = self.log.shard_of(organization);
        let store = self.log.store();
        let known = tokio::try_join!(
            store.failing_endpoints(shard, Some(organization)),
            store.endpoint_pauses(shard, Some(organization)),
        );
        let (failing, pauses) = known.map_err(database_errors::query_failed)?;
        Ok(EndpointHealth { failing, pauses, now: (self.clock)() })
    }
}
