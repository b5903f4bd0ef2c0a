//! The gRPC AuditService: the audit trail, read from the log's own records.

use std::collections::HashMap;
use std::sync::Arc;

use keeptrusts_webhooks_contracts::api::{
    AuditCursor, AuthorizedRequest, ListAuditEntries, ListChunk, audit_changes, invalid_page_token,
};
use keeptrusts_webhooks_contracts::status;
use keeptrusts_webhooks_contracts::time::timestamp_to_proto;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::audit_service_server::{AuditService, AuditServiceServer};
use keeptrusts_webhooks_domain::audit::{AuditTarget, action_of};
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::ids::{DeliveryId, OrganizationId};
use keeptrusts_webhooks_domain::log::{Position, RecordName, Shard};
use keeptrusts_webhooks_process::grpc_server::limits::NO_DECODING_LIMIT;
use keeptrusts_webhooks_process::{database_errors, long_reads};
use keeptrusts_webhooks_store::queries::{AuditFilter, Interval, ListPage};
use keeptrusts_webhooks_store::{Log, Record};
use tonic::{Request, Response, Status};

use crate::merged_trail::{LogPage, TrailEntry, TrailPage, merge};

pub struct AuditApi {
    log: Arc<Log>,
}

impl AuditApi {
    pub fn server(log: Arc<Log>) -> AuditServiceServer<Self> {
        AuditServiceServer::new(AuditApi { log }).max_decoding_message_size(NO_DECODING_LIMIT)
    }

    /// A page of the trail below a cursor.
    async fn read(
        &self,
        request: &ListAuditEntries,
        from: AuditCursor,
        limit: usize,
    ) -> Result<TrailPage, Status> {
        let ListAuditEntries { organization_id, actions, actor, endpoint_ids, .. } = request;
        let filter = AuditFilter {
            actions: actions.clone().into(),
            actor: actor.clone(),
            endpoint_ids: endpoint_ids.clone().into(),
            recorded: Interval { start: request.start_time, end: request.end_time },
        };
        // Records about all organizations are in the keys' log only.
        let own_shard = match organization_id.is_all() {
            true => Shard::OF_KEYS,
            false => self.log.shard_of(organization_id),
        };
        let own = self.log_page(own_shard, organization_id, &filter, from.own, limit).await?;
        let keys = match own_shard == Shard::OF_KEYS {
            true => LogPage::default(),
            false => {
                let shard = Shard::OF_KEYS;
                self.log_page(shard, organization_id, &filter, from.keys, limit).await?
            }
        };
        Ok(merge(own, keys, from, limit))
    }

    /// A page of one log below a record.
    async fn log_page(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        filter: &AuditFilter,
        below: Option<RecordName>,
        limit: usize,
    ) -> Result<LogPage, Status> {
        let store = self.log.store();
        let below = self.position(shard, organization, below).await?;
        let page = store.list_audit_records(shard, organization, filter, below, limit).await;
        let ListPage { rows: records, next } = page.map_err(database_errors::query_failed)?;
        let end = match next {
            // A cursor must name a record.
            Some(end) if records.last().is_none_or(|last| last.position != end) => {
                let read = store.read(shard, Position(end.0 - 1), 1).await;
                read.map_err(database_errors::query_failed)?.pop()
            }
            Some(_) => records.last().cloned(),
            None => None,
        };
        Ok(LogPage { records, end })
    }

    /// The position of the last record of the page before. INVALID_ARGUMENT: the log has no such
    /// record, so the page token is from somewhere else.
    async fn position(
        &self,
        shard: Shard,
        organization: &OrganizationId,
        last: Option<RecordName>,
    ) -> Result<Position, Status> {
        let Some(last) = last else { return Ok(Position(i64::MAX)) };
        let position = self.log.position_of(shard, organization, last).await;
        let position = position.map_err(database_errors::query_failed)?;
        position.ok_or_else(|| status::invalid_argument(vec![invalid_page_token()]))
    }

    /// The deliveries that entries are about, to add their endpoints and events.
    async fn deliveries(
        &self,
        organization: &OrganizationId,
        entries: &[TrailEntry],
    ) -> Result<HashMap<DeliveryId, Delivery>, Status> {
        let named = entries.iter().filter_map(|TrailEntry { record, .. }| {
            AuditTarget::of(record.stream, &record.fact).delivery_id
        });
        let mut ids: Vec<_> = named.collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let shard = self.log.shard_of(organization);
        let deliveries = self.log.store().deliveries(shard, organization, &ids).await;
        let deliveries = deliveries.map_err(database_errors::query_failed)?;
        Ok(deliveries.into_iter().map(|delivery| (delivery.id, delivery)).collect())
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
            let TrailPage { entries, next } = self.read(request, from, limit).await?;
            let deliveries = self.deliveries(&request.organization_id, &entries).await?;
            let messages = entries.iter().map(|entry| (entry.after, message(entry, &deliveries)));
            Ok::<_, Status>(ListChunk { items: messages.collect(), next })
        };
        let permit = long_reads::acquire(&self.log, &request.organization_id);
        let (entries, next_page_token) = request.page.fill(permit, read).await?;
        Ok(Response::new(v1::ListAuditEntriesResponse { entries, next_page_token }))
    }
}

fn message(entry: &TrailEntry, deliveries: &HashMap<DeliveryId, Delivery>) -> v1::AuditEntry {
    let record = &entry.record;
    let Record { fact, metadata, .. } = record;
    let target = AuditTarget::of(record.stream, fact);
    let delivery = target.delivery_id.and_then(|id| deliveries.get(&id));
    let endpoint_id = target.endpoint_id.or(delivery.map(|delivery| delivery.endpoint_id));
    let event_id = target.event_id.or(delivery.map(|delivery| delivery.event_id));
    let text = |id: Option<String>| id.unwrap_or_default();
    v1::AuditEntry {
        id: record.name().to_string(),
        create_time: Some(timestamp_to_proto(record.recorded_at)),
        action: action_of(fact).map_or(v1::AuditAction::Unspecified, Into::into).into(),
        actor: metadata.actor.clone(),
        actor_name: metadata.actor_name.clone(),
        address: text(metadata.address.map(|address| address.to_string())),
        organization_id: record.organization_id.to_string(),
        endpoint_id: text(endpoint_id.map(|id| id.to_string())),
        delivery_id: text(target.delivery_id.map(|id| id.to_string())),
        event_id: text(event_id.map(|id| id.to_string())),
        key_id: text(target.key_id.map(|id| id.to_string())),
        changes: audit_changes(fact),
        replay_id: text(target.replay_id.map(|id| id.to_string())),
        channel_id: text(target.channel_id.map(|id| id.to_string())),
        trace_id: text(metadata.trace.as_ref().map(|trace| trace.trace_id.to_string())),
    }
}
