//! Reads attempts together with what was sent and answered.
//!
//! Decision: docs/decisions/pages-are-filled-in-one-place.md

use keeptrusts_webhooks_contracts::api::{
    AttemptRef, ResponseBudget, attempt_with_content, attempt_without_content,
};
use keeptrusts_webhooks_contracts::log_codec::decode_exchange;
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::attempt::Attempt;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::ids::{AttemptId, EventId};
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_process::{database_errors, long_reads};
use keeptrusts_webhooks_store::BodyId;
use keeptrusts_webhooks_store::queries::AttemptFilter;
use tonic::Status;

use super::dispatch_api::DispatchApi;

/// GetDelivery returns the newest attempts up to this number. Only a delivery that was often
/// retried by hand has more.
const MAX_ATTEMPTS: usize = 100;

/// Up to so many bytes, a delivery's exchanges need not wait for a turn: a whole schedule of
/// attempts with large events.
const SHORT_CONTENT_BYTES: usize = 1024 * 1024;

impl DispatchApi {
    /// A delivery's attempts in the order of their numbers, the newest with content as far as the
    /// answer has room for it.
    pub(super) async fn attempts_of(
        &self,
        delivery: &Delivery,
    ) -> Result<Vec<v1::Attempt>, Status> {
        let organization = &delivery.organization_id;
        let shard = self.log.shard_of(organization);
        let filter = AttemptFilter { delivery_id: Some(delivery.id), ..AttemptFilter::default() };
        let store = self.log.store();
        let attempts =
            store.list_attempts(shard, organization, &filter, AttemptId::MAX, MAX_ATTEMPTS).await;
        let mut attempts = attempts.map_err(database_errors::query_failed)?.rows;
        // Attempts that were made since the delivery was read would contradict it.
        attempts.retain(|attempt| attempt.details.number <= delivery.attempt_count);
        attempts.sort_by_key(|attempt| std::cmp::Reverse(attempt.details.number));

        let mut shown: Vec<_> = attempts.iter().map(attempt_without_content).collect();
        let mut room = ResponseBudget::new();
        // Without content all of them fit.
        for attempt in &shown {
            room.take(attempt);
        }
        let read = as_far_as_read(&attempts, room.left());
        let size: usize = read.iter().map(|attempt| attempt.details.exchange.size as usize).sum();
        let _place = match size > SHORT_CONTENT_BYTES {
            true => Some(long_reads::acquire(&self.log, organization).await?),
            false => None,
        };
        let contents = self.with_content(shard, delivery.event_id, read).await?;
        let fitting = contents.into_iter().take_while(|attempt| room.take(attempt));
        shown.iter_mut().zip(fitting).for_each(|(shown, with_content)| *shown = with_content);
        shown.reverse();
        Ok(shown)
    }

    /// One attempt with its content.
    pub(super) async fn attempt(&self, request: &AttemptRef) -> Result<v1::Attempt, Status> {
        let AttemptRef { organization_id, attempt_id } = request;
        let shard = self.log.shard_of(organization_id);
        let attempt = self.log.store().attempt(shard, organization_id, *attempt_id).await;
        let attempt = attempt.map_err(database_errors::query_failed)?;
        let attempt = attempt.ok_or_else(|| status::not_found(Resource::Attempt, attempt_id))?;
        let event_id = attempt.details.event_id;
        let shown = self.with_content(shard, event_id, std::slice::from_ref(&attempt)).await?;
        Ok(shown.into_iter().next().unwrap_or_else(|| (&attempt).into()))
    }

    /// Attempts of one event with their content, in the given order.
    async fn with_content(
        &self,
        shard: Shard,
        event_id: EventId,
        attempts: &[Attempt],
    ) -> Result<Vec<v1::Attempt>, Status> {
        let event = BodyId::Event(event_id);
        let exchanges = attempts.iter().map(|attempt| BodyId::Attempt(attempt.details.id));
        let ids: Vec<_> = exchanges.chain([event]).collect();
        let bodies = self.log.bodies(shard, &ids).await.map_err(database_errors::query_failed)?;
        let event_body = bodies.get(&event).map(AsRef::as_ref);
        let with_content = attempts.iter().map(|attempt| {
            let exchange = bodies.get(&BodyId::Attempt(attempt.details.id));
            let exchange = exchange.and_then(|exchange| decode_exchange(exchange).ok());
            attempt_with_content(attempt, exchange.as_ref(), event_body)
        });
        Ok(with_content.collect())
    }
}

/// The first attempts, as many as the answer can have room for; the others need not be read. What
/// is stored of an attempt is at most as long as it is in the answer.
fn as_far_as_read(attempts: &[Attempt], room: usize) -> &[Attempt] {
    let mut left = room;
    let fits = |attempt: &&Attempt| {
        let rest = left.checked_sub(attempt.details.exchange.size as usize);
        left = rest.unwrap_or(0);
        rest.is_some()
    };
    &attempts[..attempts.iter().take_while(fits).count()]
}
