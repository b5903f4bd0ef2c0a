//! AuditService: the audit trail, from the log's own records.

use std::collections::HashMap;
use std::sync::Arc;

use keeptrusts_webhooks_contracts::api::{
    AuditCursor, AuthorizedRequest, ListAuditEntries, ListChunk, invalid_page_token,
};
use keeptrusts_webhooks_contracts::status;
use keeptrusts_webhooks_contracts::time::timestamp_to_proto;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::audit_service_server::{AuditService, AuditServiceServer};
use keeptrusts_webhooks_domain::audit::{AuditTarget, action_of, changes_of};
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::ids::{DeliveryId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, RecordName, Shard};
use keeptrusts_webhooks_process::answer;
use keeptrusts_webhooks_process::grpc_server::limits::UNLIMITED_HERE;
use keeptrusts_webhooks_store::queries::{AuditFilter, Interval, ListPage};
use keeptrusts_webhooks_store::{Log, Record};
use tonic::{Request, Response, Status};

use crate::trail::{Entry, Merged, Part, merge};

/// The gRPC service.
pub struct AuditApi {
    log: Arc<Log>,
}

impl AuditApi {
    /// The service on a log.
    pub fn server(log: Arc<Log>) -> AuditServiceServer<Self> {
        AuditServiceServer::new(AuditApi { log }).max_decoding_message_size(UNLIMITED_HERE)
    }

    /// The first entries that both logs have below a cursor.
    async fn read(
        &self,
        request: &ListAuditEntries,
        from: AuditCursor,
        limit: usize,
    ) -> Result<Merged, Status> {
        let ListAuditEntries { organization_id, action, actor, endpoint_id, .. } = request;
        let filter = AuditFilter {
            action: *action,
            actor: actor.clone(),
            endpoint_id: *endpoint_id,
            recorded: Interval { start: request.start_time, end: request.end_time },
        };
        // What is of every organization is in the keys' log only.
        let own_shard = match organization_id.is_all() {
            true => Shard::OF_KEYS,
            false => self.log.shard_of(organization_id),
        };
        let own = self.part(own_shard, organization_id, &filter, from.own, limit).await?;
        let keys = match own_shard == Shard::OF_KEYS {
            true => Part::default(),
            false => {
                let shard = Shard::OF_KEYS;
                self.part(shard, organization_id, &filter, from.keys, limit).await?
            }
        };
        Ok(merge(own, keys, from, limit))
    }

    /// What one log has below a record.
    async fn part(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &AuditFilter,
        below: Option<RecordName>,
        limit: usize,
    ) -> Result<Part, Status> {
        let store = self.log.store();
        let below = self.position(shard, organization, below).await?;
        let found = store.list_audit_records(shard, organization, filter, below, limit).await;
        let ListPage { rows: records, next } = found.map_err(answer::query_failed)?;
        let end = match next {
            // A cursor names a record.
            Some(end) if records.last().is_none_or(|last| last.position != end) => {
                let found = store.read(shard, Position(end.0 - 1), 1).await;
                found.map_err(answer::query_failed)?.pop()
            }
            Some(_) => records.last().cloned(),
            None => None,
        };
        Ok(Part { records, end })
    }

    /// What a log is read from below of, to go on after a record.
    async fn position(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        last: Option<RecordName>,
    ) -> Result<Position, Status> {
        let Some(last) = last else { return Ok(Position(i64::MAX)) };
        let found = self.log.position_of(shard, organization, last).await;
        let found = found.map_err(answer::query_failed)?;
        found.ok_or_else(|| status::invalid_argument(vec![invalid_page_token()]))
    }

    /// The deliveries that entries are about, to say which endpoint and which event is meant.
    async fn deliveries(
        &self,
        organization: &OrganizationId,
        entries: &[Entry],
    ) -> Result<HashMap<DeliveryId, Delivery>, Status> {
        let named = entries.iter().filter_map(|Entry { record, .. }| {
            AuditTarget::of(record.stream, &record.fact).delivery_id
        });
        let mut ids: Vec<_> = named.collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let shard = self.log.shard_of(organization);
        let found = self.log.store().deliveries(shard, organization, &ids).await;
        let found = found.map_err(answer::query_failed)?;
        Ok(found.into_iter().map(|delivery| (delivery.id, delivery)).collect())
    }
}

#[tonic::async_trait]
impl AuditService for AuditApi {
    async fn list_audit_entries(
        &self,
        request: Request<v1::ListAuditEntriesRequest>,
    ) -> Result<Response<v1::ListAuditEntriesResponse>, Status> {
        let AuthorizedRequest { request, .. } = AuthorizedRequest::<ListAuditEntries>::of(request)?;
        let request = &request;
        let read = |from, limit| async move {
            let Merged { entries, next } = self.read(request, from, limit).await?;
            let deliveries = self.deliveries(&request.organization_id, &entries).await?;
            let shown = entries.iter().map(|entry| (entry.after, message(entry, &deliveries)));
            Ok::<_, Status>(ListChunk { items: shown.collect(), next })
        };
        let turn = answer::long_read(&self.log, &request.organization_id);
        let (entries, next_page_token) = request.page.fill(turn, read).await?;
        Ok(Response::new(v1::ListAuditEntriesResponse { entries, next_page_token }))
    }
}

fn message(entry: &Entry, deliveries: &HashMap<DeliveryId, Delivery>) -> v1::AuditEntry {
    let record = &entry.record;
    let Record { fact, metadata, .. } = record;
    let target = AuditTarget::of(record.stream, fact);
    let delivery = target.delivery_id.and_then(|id| deliveries.get(&id));
    let endpoint_id = target.endpoint_id.or(delivery.map(|delivery| delivery.endpoint_id));
    let event_id = target.event_id.or(delivery.map(|delivery| delivery.event_id));
    let text = |id: Option<String>| id.unwrap_or_default();
    v1::AuditEntry {
        id: record.name().to_string(),
        time: Some(timestamp_to_proto(record.recorded_at)),
        action: action_of(fact).map_or(v1::AuditAction::Unspecified, Into::into).into(),
        actor: metadata.actor.clone(),
        actor_name: metadata.actor_name.clone(),
        address: text(metadata.address.map(|address| address.to_string())),
        organization_id: record.organization_id.to_string(),
        endpoint_id: text(endpoint_id.map(|id| id.to_string())),
        delivery_id: text(target.delivery_id.map(|id| id.to_string())),
        event_id: text(event_id.map(|id| id.to_string())),
        key_id: text(target.key_id.map(|id| id.to_string())),
        changes: changes_of(fact).into_iter().map(Into::into).collect(),
        replay_id: text(target.replay_id.map(|id| id.to_string())),
        channel_id: text(target.channel_id.map(|id| id.to_string())),
        trace_id: text(metadata.trace.as_ref().map(|trace| trace.trace_id.to_string())),
    }
}
