//! The state of the endpoint service, and what its handlers share.

use std::sync::Arc;

use keeptrusts_webhooks_contracts::v1::endpoint_service_server::EndpointServiceServer;
use keeptrusts_webhooks_process::grpc_server::limits::NO_DECODING_LIMIT;
use keeptrusts_webhooks_process::refused_requests;
use keeptrusts_webhooks_rendering::{Renderer, RendererLimits};
use keeptrusts_webhooks_store::vault::keyring::Keyring;
use keeptrusts_webhooks_store::{Clock, Log};

use crate::flags::EndpointFlags;
use crate::rendering_limits::{MAX_WAITING, METRIC_NAME};

pub struct EndpointApi {
    pub(crate) log: Arc<Log>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) clock: Clock,
    pub(crate) max_endpoints: u32,
    pub(crate) renderer: Renderer,
}

impl EndpointApi {
    pub fn server(
        log: Arc<Log>,
        keyring: Arc<Keyring>,
        clock: Clock,
        flags: &EndpointFlags,
    ) -> EndpointServiceServer<Self> {
        let max_endpoints = flags.max_endpoints_per_organization;
        let limits = RendererLimits::of_this_machine(Some(MAX_WAITING));
        let renderer = Renderer::new(limits);
        refused_requests::register(METRIC_NAME);
        EndpointServiceServer::new(EndpointApi { log, keyring, clock, max_endpoints, renderer })
            .max_decoding_message_size(NO_DECODING_LIMIT)
    }
}
