//! Reads attempts together with what was sent and answered.
//!
//! Decision: docs/decisions/pages-are-filled-in-one-place.md

use std::collections::HashMap;

use bytes::Bytes;
use keeptrusts_webhooks_contracts::api::{
    CONTENT_BYTES_PER_READ, ListChunk, ResponseBudget, attempt_with_content,
    attempt_without_content, rows_of_one_read, rows_within,
};
use keeptrusts_webhooks_contracts::log_codec::decode_exchange;
use keeptrusts_webhooks_contracts::status::{self, Resource};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::attempt::Attempt;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::ids::{AttemptId, DeliveryId, EventId, OrganizationId};
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_process::{database_errors, long_reads};
use keeptrusts_webhooks_store::BodyId;
use keeptrusts_webhooks_store::queries::{AttemptFilter, ListPage};
use tonic::Status;

use super::disabled_endpoints::DisabledEndpoints;
use super::dispatch_api::DispatchApi;

/// A delivery shows the newest attempts up to this number. Only one that was often retried by hand has
/// more. So many attempts of several deliveries are read at once.
const MAX_ATTEMPTS: usize = 100;

type Bodies = HashMap<BodyId, Bytes>;

impl DispatchApi {
    /// A delivery with its attempts in the order of their numbers, the newest with content as far as
    /// the response has room for it.
    pub(super) async fn delivery_with_attempts(
        &self,
        delivery: &Delivery,
    ) -> Result<v1::Delivery, Status> {
        let organization = &delivery.organization_id;
        let shard = self.log.shard_of(organization);
        let attempts = ShownAttempts::of(delivery, self.newest_attempts(shard, delivery).await?);
        let _place = match attempts.content_bytes() > CONTENT_BYTES_PER_READ {
            true => Some(long_reads::acquire(&self.log, organization).await?),
            false => None,
        };
        let bodies = self.bodies(shard, attempts.body_ids().collect()).await?;
        Ok(attempts.message(self.message(delivery).await?, &bodies))
    }

    /// Deliveries of a list with their attempts, as [`Self::delivery_with_attempts`] returns them: the
    /// first of a page of rows, as many as are read at once.
    pub(super) async fn deliveries_with_attempts(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        disabled: &DisabledEndpoints,
        page: ListPage<Delivery, DeliveryId>,
    ) -> Result<ListChunk<DeliveryId, v1::Delivery>, Status> {
        let read = rows_with_few_attempts(&page.rows);
        let mut attempts: HashMap<DeliveryId, Vec<Attempt>> = HashMap::new();
        let found = match read {
            [only] => self.newest_attempts(shard, only).await?,
            several => {
                let ids: Vec<_> = several.iter().map(|delivery| delivery.id).collect();
                let store = self.log.store();
                // Some may have been made since the deliveries were read.
                let most = 2 * MAX_ATTEMPTS;
                let found = store.attempts_of_deliveries(shard, organization, &ids, most).await;
                found.map_err(database_errors::query_failed)?
            }
        };
        for attempt in found {
            attempts.entry(attempt.delivery_id).or_default().push(attempt);
        }
        let event_ids = read.iter().map(|delivery| delivery.event_id).collect();
        let sizes = self.body_sizes(shard, organization, event_ids).await?;
        let shown: Vec<_> = read
            .iter()
            .map(|delivery| {
                ShownAttempts::of(delivery, attempts.remove(&delivery.id).unwrap_or_default())
            })
            .collect();
        let bytes = |shown: &ShownAttempts<'_>| {
            let body = sizes.get(&shown.delivery.event_id).copied().unwrap_or(0);
            shown.content_bytes() + shown.read * body
        };
        let shown = rows_of_one_read(&shown, bytes);
        let ids = shown.iter().flat_map(ShownAttempts::body_ids).collect();
        let bodies = self.bodies(shard, ids).await?;
        let next = page.next_after(shown.len(), |delivery| delivery.id);
        let items = shown.iter().map(|shown| {
            let delivery = disabled.message(shown.delivery);
            (shown.delivery.id, shown.message(delivery, &bodies))
        });
        Ok(ListChunk { items: items.collect(), next })
    }

    /// Attempts of a list with their content: the first of a page of rows, as many as are read at once.
    pub(super) async fn attempts_with_content(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        page: ListPage<Attempt, AttemptId>,
    ) -> Result<ListChunk<AttemptId, v1::Attempt>, Status> {
        let event_ids = page.rows.iter().map(|attempt| attempt.details.event_id).collect();
        let sizes = self.body_sizes(shard, organization, event_ids).await?;
        let read = rows_of_one_read(&page.rows, |Attempt { details, .. }| {
            let body = sizes.get(&details.event_id).copied().unwrap_or(0);
            details.exchange.size as usize + body
        });
        let bodies = self.bodies(shard, read.iter().flat_map(body_ids).collect()).await?;
        let next = page.next_after(read.len(), |attempt| attempt.details.id);
        let items = read.iter().map(|attempt| (attempt.details.id, message(attempt, &bodies)));
        Ok(ListChunk { items: items.collect(), next })
    }

    /// An attempt with its content.
    pub(super) async fn attempt_with_content(
        &self,
        shard: Shard,
        attempt: &Attempt,
    ) -> Result<v1::Attempt, Status> {
        let bodies = self.bodies(shard, body_ids(attempt).to_vec()).await?;
        Ok(message(attempt, &bodies))
    }

    pub(super) async fn attempt(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        id: AttemptId,
    ) -> Result<Attempt, Status> {
        let attempt = self.log.store().attempt(shard, organization, id).await;
        let attempt = attempt.map_err(database_errors::query_failed)?;
        attempt.ok_or_else(|| status::not_found(Resource::Attempt, id))
    }

    async fn newest_attempts(
        &self,
        shard: Shard,
        delivery: &Delivery,
    ) -> Result<Vec<Attempt>, Status> {
        let filter = AttemptFilter { delivery_id: Some(delivery.id), ..AttemptFilter::default() };
        let (store, organization) = (self.log.store(), &delivery.organization_id);
        let attempts =
            store.list_attempts(shard, organization, &filter, AttemptId::MAX, MAX_ATTEMPTS).await;
        Ok(attempts.map_err(database_errors::query_failed)?.rows)
    }

    /// The sizes of events' bodies, in bytes.
    async fn body_sizes(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        mut ids: Vec<EventId>,
    ) -> Result<HashMap<EventId, usize>, Status> {
        ids.sort_unstable();
        ids.dedup();
        let events = self.log.store().events(shard, organization, &ids).await;
        let events = events.map_err(database_errors::query_failed)?;
        Ok(events.into_iter().map(|event| (event.id, event.body.size as usize)).collect())
    }

    async fn bodies(&self, shard: Shard, mut ids: Vec<BodyId>) -> Result<Bodies, Status> {
        ids.sort_unstable();
        ids.dedup();
        self.log.bodies(shard, &ids).await.map_err(database_errors::query_failed)
    }
}

/// The attempts of a delivery that a response shows.
struct ShownAttempts<'a> {
    delivery: &'a Delivery,
    /// The newest first.
    attempts: Vec<Attempt>,
    /// How many of them are read with their content. The response has no room for that of the others.
    read: usize,
}

impl<'a> ShownAttempts<'a> {
    fn of(delivery: &'a Delivery, mut attempts: Vec<Attempt>) -> ShownAttempts<'a> {
        // Attempts that were made since the delivery was read would contradict it.
        attempts.retain(|attempt| attempt.details.number <= delivery.attempt_count);
        attempts.sort_by_key(|attempt| std::cmp::Reverse(attempt.details.number));
        attempts.truncate(MAX_ATTEMPTS);
        let (_, room) = without_content(&attempts);
        let read = as_far_as_read(&attempts, room.left()).len();
        ShownAttempts { delivery, attempts, read }
    }

    /// The stored bytes of what is read, without the event's body.
    fn content_bytes(&self) -> usize {
        let read = self.attempts[..self.read].iter();
        read.map(|attempt| attempt.details.exchange.size as usize).sum()
    }

    fn body_ids(&self) -> impl Iterator<Item = BodyId> {
        self.attempts[..self.read].iter().flat_map(body_ids)
    }

    /// The delivery, whose message has none yet, with its attempts in the order of their numbers.
    fn message(&self, delivery: v1::Delivery, bodies: &Bodies) -> v1::Delivery {
        let (mut shown, mut room) = without_content(&self.attempts);
        let contents = self.attempts[..self.read].iter().map(|attempt| message(attempt, bodies));
        let fitting = contents.take_while(|attempt| room.take(attempt));
        shown.iter_mut().zip(fitting).for_each(|(shown, with_content)| *shown = with_content);
        shown.reverse();
        v1::Delivery { attempts: shown, ..delivery }
    }
}

/// The attempts without content, and the room that they leave in a response. All of them fit.
fn without_content(attempts: &[Attempt]) -> (Vec<v1::Attempt>, ResponseBudget) {
    let shown: Vec<_> = attempts.iter().map(attempt_without_content).collect();
    let mut room = ResponseBudget::new();
    for attempt in &shown {
        room.take(attempt);
    }
    (shown, room)
}

/// What an attempt's content is read from: what was exchanged, and the event's body.
fn body_ids(attempt: &Attempt) -> [BodyId; 2] {
    [BodyId::Attempt(attempt.details.id), BodyId::Event(attempt.details.event_id)]
}

fn message(attempt: &Attempt, bodies: &Bodies) -> v1::Attempt {
    let [exchange, event] = body_ids(attempt).map(|id| bodies.get(&id));
    let exchange = exchange.and_then(|exchange| decode_exchange(exchange).ok());
    attempt_with_content(attempt, exchange.as_ref(), event.map(AsRef::as_ref))
}

/// The first deliveries whose attempts are read at once: one, and more as long as they have few.
fn rows_with_few_attempts(rows: &[Delivery]) -> &[Delivery] {
    let few = rows_within(rows, MAX_ATTEMPTS, |delivery| delivery.attempt_count as usize);
    &rows[..few.len().max(1).min(rows.len())]
}

/// The first attempts, as many as the answer can have room for; the others need not be read. What
/// is stored of an attempt is at most as long as it is in the answer.
fn as_far_as_read(attempts: &[Attempt], room: usize) -> &[Attempt] {
    rows_within(attempts, room, |attempt| attempt.details.exchange.size as usize)
}
