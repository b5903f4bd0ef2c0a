//! The state of the ingest service.

use std::sync::Arc;
use std::time::Duration;

use keeptrusts_webhooks_contracts::v1::ingest_service_server::IngestServiceServer;
use keeptrusts_webhooks_process::grpc_server::limits::NO_DECODING_LIMIT;
use keeptrusts_webhooks_store::{Clock, Log};

use crate::commit_permits::CommitPermits;
use crate::flags::IngestFlags;
use crate::metrics;
use crate::quota::Quota;

#[derive(Clone)]
pub struct IngestApi {
    pub(crate) log: Arc<Log>,
    pub(crate) clock: Clock,
    pub(crate) body_retention: Duration,
    pub(crate) quota: Arc<Quota>,
    pub(crate) permits: Arc<CommitPermits>,
}

impl IngestApi {
    pub fn server(
        log: Arc<Log>,
        clock: Clock,
        body_retention: Duration,
        flags: &IngestFlags,
    ) -> IngestServiceServer<Self> {
        metrics::register();
        let quota = Arc::new(Quota::new(flags.publish_quota));
        IngestServiceServer::new(IngestApi {
            log,
            clock,
            body_retention,
            quota,
            permits: Arc::new(CommitPermits::new()),
        })
        .max_decoding_message_size(NO_DECODING_LIMIT)
    }
}
