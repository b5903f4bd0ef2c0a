//! Queries of recorded requests.

use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_domain::request::{RecordedRequest, RequestId};

use crate::error::StoreError;
use crate::store::Store;

impl dyn Store + '_ {
    /// The last request with an id that was recorded in this shard, however long ago.
    pub async fn recorded_request(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: &RequestId,
    ) -> Result<Option<RecordedRequest>, StoreError> {
        self.row(shard, (organization.clone(), id.clone())).await
    }
}
