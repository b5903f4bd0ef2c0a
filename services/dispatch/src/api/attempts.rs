//! A delivery's attempts with what went over the wire.

use keeptrusts_webhooks_contracts::api::attempt_with_content;
use keeptrusts_webhooks_contracts::log_codec::decode_exchange;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::ids::AttemptId;
use keeptrusts_webhooks_process::answer;
use keeptrusts_webhooks_store::BodyId;
use keeptrusts_webhooks_store::query::AttemptFilter;
use tonic::Status;

use super::DispatchApi;

/// With bodies of up to 16 KiB each, and the request's on top, an answer must not grow without
/// end. A delivery has more attempts only if somebody has retried it by hand that often.
const MAX_ATTEMPTS: usize = 100;
/// The request's body is shown with every attempt, as long as all of them stay below this.
const MAX_REQUEST_BODIES: usize = 2 * 1024 * 1024;

impl DispatchApi {
    pub(super) async fn attempts_with_content(
        &self,
        delivery: &Delivery,
    ) -> Result<Vec<v1::Attempt>, Status> {
        let organization = &delivery.organization_id;
        let shard = self.log.shard_of(organization);
        let filter = AttemptFilter { delivery_id: Some(delivery.id), ..AttemptFilter::default() };
        let store = self.log.store();
        let attempts =
            store.list_attempts(shard, organization, &filter, AttemptId::MAX, MAX_ATTEMPTS).await;
        let mut attempts = attempts.map_err(answer::query_failed)?;
        attempts.sort_by_key(|attempt| attempt.made.number);

        let event = BodyId::Event(delivery.event_id);
        let exchanges = attempts.iter().map(|attempt| BodyId::Attempt(attempt.made.id));
        let ids: Vec<_> = exchanges.chain([event]).collect();
        let bodies = self.log.bodies(shard, &ids).await.map_err(answer::query_failed)?;
        let request_body = bodies.get(&event).map(AsRef::as_ref);
        let shown =
            request_body.map_or(0, |body: &[u8]| MAX_REQUEST_BODIES / body.len().max(1)).max(1);
        let first_shown = attempts.len().saturating_sub(shown);
        let with_content = attempts.iter().enumerate().map(|(index, attempt)| {
            let exchange = bodies.get(&BodyId::Attempt(attempt.made.id));
            let exchange = exchange.and_then(|exchange| decode_exchange(exchange).ok());
            let request_body = request_body.filter(|_| index >= first_shown);
            attempt_with_content(attempt, exchange.as_ref(), request_body)
        });
        Ok(with_content.collect())
    }
}
