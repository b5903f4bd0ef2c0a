//! Clients of the services' gRPC contracts.

mod access;
mod audit;
mod notifications;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use keeptrusts_webhooks_contracts::api::MAX_PAGE_SIZE;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::access_service_client::AccessServiceClient;
use keeptrusts_webhooks_contracts::v1::audit_service_client::AuditServiceClient;
use keeptrusts_webhooks_contracts::v1::dispatch_service_client::DispatchServiceClient;
use keeptrusts_webhooks_contracts::v1::endpoint_service_client::EndpointServiceClient;
use keeptrusts_webhooks_contracts::v1::ingest_service_client::IngestServiceClient;
use keeptrusts_webhooks_contracts::v1::notification_service_client::NotificationServiceClient;
use keeptrusts_webhooks_process::grpc_server::InProcess;
use keeptrusts_webhooks_process::tls::{Reloadable, ServiceConnector};
use rustls::ClientConfig;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status};

use crate::credentials::Credentials;
use crate::visitor::Visitor;

/// How long a page waits for a service.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// A test's receiver may take as long as a delivery's, and the services need some time as well.
const TEST_LIMIT: Duration = Duration::from_secs(45);
/// A replay is counted event by event: a million take a while.
const COUNT_LIMIT: Duration = Duration::from_secs(60);
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(10);

/// The addresses of the services.
#[derive(Debug, Clone)]
pub struct ServiceAddresses {
    pub endpoints: Uri,
    pub ingest: Uri,
    pub dispatch: Uri,
    /// AccessService and AuditService.
    pub access: Uri,
    pub notifications: Uri,
}

#[derive(Debug, Clone, Copy)]
enum Service {
    Endpoints,
    Ingest,
    Dispatch,
    Access,
    Notifications,
}

/// The services, over connections that are made when they are first needed.
#[derive(Debug, Clone)]
pub struct Services {
    endpoints: EndpointServiceClient<Channel>,
    ingest: IngestServiceClient<Channel>,
    dispatch: DispatchServiceClient<Channel>,
    /// On a connection of their own: what slow browsers leave unread holds up no page.
    watches: DispatchServiceClient<Channel>,
    access: AccessServiceClient<Channel>,
    audit: AuditServiceClient<Channel>,
    notifications: NotificationServiceClient<Channel>,
}

impl Services {
    /// Clients for these addresses, with TLS where they are `https`; then `tls` is required.
    pub fn connect_lazily(
        addresses: &ServiceAddresses,
        tls: Option<Arc<Reloadable<ClientConfig>>>,
    ) -> Services {
        let connector = tls.map(ServiceConnector::new);
        Services::over(|service| {
            let address = match service {
                Service::Endpoints => &addresses.endpoints,
                Service::Ingest => &addresses.ingest,
                Service::Dispatch => &addresses.dispatch,
                Service::Access => &addresses.access,
                Service::Notifications => &addresses.notifications,
            };
            // Finds out that a machine has vanished: otherwise a page would wait for updates for
            // ever.
            let settle = |endpoint: Endpoint| {
                endpoint
                    .connect_timeout(CONNECT_LIMIT)
                    .http2_keep_alive_interval(KEEP_ALIVE)
                    .keep_alive_timeout(KEEP_ALIVE_ANSWER)
            };
            match connector.clone() {
                Some(connector) => connector.channel(address.clone(), settle),
                None => settle(Endpoint::from(address.clone())).connect_lazy(),
            }
        })
    }

    /// Services in this process.
    pub fn of_this_process(services: InProcess) -> Services {
        // Requests need an address; it is not used.
        let endpoint = Endpoint::from_static("http://this-process");
        Services::over(|_| endpoint.connect_with_connector_lazy(services.clone()))
    }

    fn over(channel: impl Fn(Service) -> Channel) -> Services {
        Services {
            endpoints: EndpointServiceClient::new(channel(Service::Endpoints)),
            ingest: IngestServiceClient::new(channel(Service::Ingest)),
            dispatch: DispatchServiceClient::new(channel(Service::Dispatch)),
            watches: DispatchServiceClient::new(channel(Service::Dispatch)),
            access: AccessServiceClient::new(channel(Service::Access)),
            audit: AuditServiceClient::new(channel(Service::Access)),
            notifications: NotificationServiceClient::new(channel(Service::Notifications)),
        }
    }

    /// The services, as a visitor asks them about the session's organization.
    pub(crate) fn of(&self, visitor: &Visitor, credentials: &Credentials) -> OrganizationClient {
        OrganizationClient {
            id: visitor.organization.clone(),
            credentials: credentials.clone(),
            services: self.clone(),
        }
    }
}

/// The services, asked about one organization with one caller's credentials. Each method is one
/// call of the contracts.
#[derive(Debug, Clone)]
pub(crate) struct OrganizationClient {
    id: String,
    credentials: Credentials,
    services: Services,
}

/// A page of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageRef<'a> {
    pub(crate) size: i32,
    pub(crate) token: &'a str,
}

impl OrganizationClient {
    pub(crate) async fn endpoints(
        &self,
        page: PageRef<'_>,
        state: Option<v1::endpoint::State>,
        search: &str,
    ) -> Result<v1::ListEndpointsResponse, Status> {
        let request = v1::ListEndpointsRequest {
            organization_id: self.id.clone(),
            page_size: page.size,
            page_token: page.token.to_owned(),
            states: state.map(i32::from).into_iter().collect(),
            search: search.to_owned(),
            ..Default::default()
        };
        let mut client = self.services.endpoints.clone();
        Ok(client.list_endpoints(self.with_credentials(request)).await?.into_inner())
    }

    pub(crate) async fn endpoint(&self, endpoint_id: &str) -> Result<v1::Endpoint, Status> {
        let request = v1::GetEndpointRequest {
            organization_id: self.id.clone(),
            endpoint_id: endpoint_id.to_owned(),
        };
        let mut client = self.services.endpoints.clone();
        let answer = client.get_endpoint(self.with_credentials(request)).await?.into_inner();
        Ok(answer.endpoint.unwrap_or_default())
    }

    /// The name of an endpoint. None: it was deleted.
    pub(crate) async fn endpoint_name(&self, endpoint_id: &str) -> Result<Option<String>, Status> {
        match self.endpoint(endpoint_id).await {
            Ok(endpoint) => Ok(Some(endpoint.display_name)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    pub(crate) async fn event_types(&self) -> Result<Vec<v1::EventType>, Status> {
        // There are far fewer types than a page may have.
        let request = v1::ListEventTypesRequest {
            organization_id: self.id.clone(),
            page_size: MAX_PAGE_SIZE as i32,
            ..Default::default()
        };
        let mut client = self.services.endpoints.clone();
        Ok(client.list_event_types(self.with_credentials(request)).await?.into_inner().event_types)
    }

    /// Creates an endpoint.
    pub(crate) async fn create_endpoint(
        &self,
        endpoint: v1::Endpoint,
    ) -> Result<v1::CreateEndpointResponse, Status> {
        let (organization_id, endpoint) = (self.id.clone(), Some(endpoint));
        let request = v1::CreateEndpointRequest { organization_id, endpoint, ..Default::default() };
        let mut client = self.services.endpoints.clone();
        Ok(client.create_endpoint(self.with_credentials(request)).await?.into_inner())
    }

    /// Changes everything but the secret, if the etag is still current; the routing key only if one
    /// is given.
    pub(crate) async fn update_endpoint(
        &self,
        endpoint: v1::Endpoint,
    ) -> Result<v1::Endpoint, Status> {
        // A star alone would leave a template that was emptied as it is.
        let all = ["*", "payload_format"];
        let key = (!endpoint.routing_key.is_empty()).then_some("routing_key");
        let paths: Vec<_> = all.into_iter().chain(key).map(str::to_owned).collect();
        let request = v1::UpdateEndpointRequest {
            organization_id: self.id.clone(),
            endpoint: Some(endpoint),
            update_mask: Some(prost_types::FieldMask { paths }),
            ..Default::default()
        };
        let mut client = self.services.endpoints.clone();
        let answer = client.update_endpoint(self.with_credentials(request)).await?.into_inner();
        Ok(answer.endpoint.unwrap_or_default())
    }

    /// Renders an event in a format; the organization is filled in.
    pub(crate) async fn preview_payload(
        &self,
        preview: v1::PreviewPayloadRequest,
    ) -> Result<v1::PreviewPayloadResponse, Status> {
        let request = v1::PreviewPayloadRequest { organization_id: self.id.clone(), ..preview };
        let mut client = self.services.endpoints.clone();
        Ok(client.preview_payload(self.with_credentials(request)).await?.into_inner())
    }

    /// Replaces the secret. Empty: by a generated one.
    pub(crate) async fn rotate_secret(
        &self,
        endpoint_id: &str,
        secret: String,
        overlap: Duration,
    ) -> Result<v1::RotateSecretResponse, Status> {
        let request = v1::RotateSecretRequest {
            organization_id: self.id.clone(),
            endpoint_id: endpoint_id.to_owned(),
            secret,
            overlap: Some(keeptrusts_webhooks_contracts::time::duration_to_proto(overlap)),
            ..Default::default()
        };
        let mut client = self.services.endpoints.clone();
        Ok(client.rotate_secret(self.with_credentials(request)).await?.into_inner())
    }

    pub(crate) async fn enable(&self, endpoint_id: &str) -> Result<v1::Endpoint, Status> {
        let request = v1::EnableEndpointRequest {
            organization_id: self.id.clone(),
            endpoint_id: endpoint_id.to_owned(),
        };
        let mut client = self.services.endpoints.clone();
        let answer = client.enable_endpoint(self.with_credentials(request)).await?.into_inner();
        Ok(answer.endpoint.unwrap_or_default())
    }

    pub(crate) async fn disable(&self, endpoint_id: &str) -> Result<v1::Endpoint, Status> {
        let request = v1::DisableEndpointRequest {
            organization_id: self.id.clone(),
            endpoint_id: endpoint_id.to_owned(),
            reason: "disabled in the console".to_owned(),
        };
        let mut client = self.services.endpoints.clone();
        let answer = client.disable_endpoint(self.with_credentials(request)).await?.into_inner();
        Ok(answer.endpoint.unwrap_or_default())
    }

    pub(crate) async fn delete(&self, endpoint_id: &str) -> Result<(), Status> {
        let request = v1::DeleteEndpointRequest {
            organization_id: self.id.clone(),
            endpoint_id: endpoint_id.to_owned(),
            etag: String::new(),
            ..Default::default()
        };
        let mut client = self.services.endpoints.clone();
        client.delete_endpoint(self.with_credentials(request)).await?;
        Ok(())
    }

    pub(crate) async fn events(
        &self,
        filter: v1::ListEventsRequest,
    ) -> Result<v1::ListEventsResponse, Status> {
        let request = v1::ListEventsRequest { organization_id: self.id.clone(), ..filter };
        let mut client = self.services.ingest.clone();
        Ok(client.list_events(self.with_credentials(request)).await?.into_inner())
    }

    pub(crate) async fn event(&self, event_id: &str) -> Result<v1::Event, Status> {
        let request = v1::GetEventRequest {
            organization_id: self.id.clone(),
            event_id: event_id.to_owned(),
            ..Default::default()
        };
        let mut client = self.services.ingest.clone();
        Ok(client
            .get_event(self.with_credentials(request))
            .await?
            .into_inner()
            .event
            .unwrap_or_default())
    }

    pub(crate) async fn test(&self, endpoint_id: &str) -> Result<v1::SendTestResponse, Status> {
        let mut request = Request::new(v1::SendTestRequest {
            organization_id: self.id.clone(),
            endpoint_id: endpoint_id.to_owned(),
            ..Default::default()
        });
        request.set_timeout(TEST_LIMIT);
        self.credentials.add_to(&mut request);
        let mut client = self.services.dispatch.clone();
        Ok(client.send_test(request).await?.into_inner())
    }

    pub(crate) async fn deliveries(
        &self,
        filter: v1::ListDeliveriesRequest,
    ) -> Result<v1::ListDeliveriesResponse, Status> {
        let request = v1::ListDeliveriesRequest { organization_id: self.id.clone(), ..filter };
        let mut client = self.services.dispatch.clone();
        Ok(client.list_deliveries(self.with_credentials(request)).await?.into_inner())
    }

    /// A delivery with its attempts. The older ones may come without content.
    pub(crate) async fn delivery(&self, delivery_id: &str) -> Result<v1::Delivery, Status> {
        let request = v1::GetDeliveryRequest {
            organization_id: self.id.clone(),
            delivery_id: delivery_id.to_owned(),
            ..Default::default()
        };
        let mut client = self.services.dispatch.clone();
        Ok(client
            .get_delivery(self.with_credentials(request))
            .await?
            .into_inner()
            .delivery
            .unwrap_or_default())
    }

    /// An attempt with its content.
    pub(crate) async fn attempt(&self, attempt_id: &str) -> Result<v1::Attempt, Status> {
        let request = v1::GetAttemptRequest {
            organization_id: self.id.clone(),
            attempt_id: attempt_id.to_owned(),
            ..Default::default()
        };
        let mut client = self.services.dispatch.clone();
        let answer = client.get_attempt(self.with_credentials(request)).await?.into_inner();
        Ok(answer.attempt.unwrap_or_default())
    }

    pub(crate) async fn attempts(
        &self,
        filter: v1::ListAttemptsRequest,
    ) -> Result<v1::ListAttemptsResponse, Status> {
        let request = v1::ListAttemptsRequest { organization_id: self.id.clone(), ..filter };
        let mut client = self.services.dispatch.clone();
        Ok(client.list_attempts(self.with_credentials(request)).await?.into_inner())
    }

    /// The newest attempt of each of these deliveries.
    pub(crate) async fn newest_attempts(
        &self,
        deliveries: &[v1::Delivery],
    ) -> Result<Vec<Option<v1::Attempt>>, Status> {
        let newest = deliveries.iter().map(async |delivery| {
            let filter = v1::ListAttemptsRequest {
                delivery_id: delivery.id.clone(),
                page_size: 1,
                ..Default::default()
            };
            Ok(self.attempts(filter).await?.attempts.pop())
        });
        try_join_all(newest).await
    }

    pub(crate) async fn retry(&self, delivery_id: &str) -> Result<v1::Delivery, Status> {
        let request = v1::RetryDeliveryRequest {
            organization_id: self.id.clone(),
            delivery_id: delivery_id.to_owned(),
            ..Default::default()
        };
        let mut client = self.services.dispatch.clone();
        Ok(client
            .retry_delivery(self.with_credentials(request))
            .await?
            .into_inner()
            .delivery
            .unwrap_or_default())
    }

    pub(crate) async fn cancel(&self, delivery_id: &str) -> Result<v1::Delivery, Status> {
        let request = v1::CancelDeliveryRequest {
            organization_id: self.id.clone(),
            delivery_id: delivery_id.to_owned(),
        };
        let mut client = self.services.dispatch.clone();
        Ok(client
            .cancel_delivery(self.with_credentials(request))
            .await?
            .into_inner()
            .delivery
            .unwrap_or_default())
    }

    /// Starts a replay, or only counts what it would send.
    pub(crate) async fn replay(
        &self,
        replay: v1::Replay,
        validate_only: bool,
    ) -> Result<v1::Replay, Status> {
        let (organization_id, replay) = (self.id.clone(), Some(replay));
        let mut request = Request::new(v1::CreateReplayRequest {
            organization_id,
            replay,
            validate_only,
            ..Default::default()
        });
        request.set_timeout(COUNT_LIMIT);
        self.credentials.add_to(&mut request);
        let mut client = self.services.dispatch.clone();
        let answer = client.create_replay(request).await?.into_inner();
        Ok(answer.replay.unwrap_or_default())
    }

    pub(crate) async fn get_replay(&self, replay_id: &str) -> Result<v1::Replay, Status> {
        let request = v1::GetReplayRequest {
            organization_id: self.id.clone(),
            replay_id: replay_id.to_owned(),
        };
        let mut client = self.services.dispatch.clone();
        let answer = client.get_replay(self.with_credentials(request)).await?.into_inner();
        Ok(answer.replay.unwrap_or_default())
    }

    /// The newest replays for an endpoint.
    pub(crate) async fn newest_replays(
        &self,
        endpoint_id: &str,
        count: i32,
    ) -> Result<Vec<v1::Replay>, Status> {
        let request = v1::ListReplaysRequest {
            organization_id: self.id.clone(),
            endpoint_ids: vec![endpoint_id.to_owned()],
            page_size: count,
            ..Default::default()
        };
        let mut client = self.services.dispatch.clone();
        Ok(client.list_replays(self.with_credentials(request)).await?.into_inner().replays)
    }

    pub(crate) async fn cancel_replay(&self, replay_id: &str) -> Result<v1::Replay, Status> {
        let request = v1::CancelReplayRequest {
            organization_id: self.id.clone(),
            replay_id: replay_id.to_owned(),
        };
        let mut client = self.services.dispatch.clone();
        let answer = client.cancel_replay(self.with_credentials(request)).await?.into_inner();
        Ok(answer.replay.unwrap_or_default())
    }

    /// A replay as it is, and after each of its steps, until it ends.
    pub(crate) async fn watch_replay(
        &self,
        replay_id: &str,
    ) -> Result<tonic::Streaming<v1::WatchReplayResponse>, Status> {
        let mut request = Request::new(v1::WatchReplayRequest {
            organization_id: self.id.clone(),
            replay_id: replay_id.to_owned(),
        });
        self.credentials.add_to(&mut request);
        let mut client = self.services.watches.clone();
        Ok(client.watch_replay(request).await?.into_inner())
    }

    pub(crate) async fn stats(
        &self,
        endpoint_id: &str,
        window: Duration,
    ) -> Result<v1::GetEndpointStatsResponse, Status> {
        let request = v1::GetEndpointStatsRequest {
            organization_id: self.id.clone(),
            endpoint_id: endpoint_id.to_owned(),
            window: Some(keeptrusts_webhooks_contracts::time::duration_to_proto(window)),
        };
        let mut client = self.services.dispatch.clone();
        Ok(client.get_endpoint_stats(self.with_credentials(request)).await?.into_inner())
    }

    /// A week's summary: the week that contains `time`, or the last full one.
    pub(crate) async fn health_summary(
        &self,
        time: Option<prost_types::Timestamp>,
    ) -> Result<v1::GetHealthSummaryResponse, Status> {
        let request = v1::GetHealthSummaryRequest { organization_id: self.id.clone(), time };
        let mut client = self.services.dispatch.clone();
        Ok(client.get_health_summary(self.with_credentials(request)).await?.into_inner())
    }

    /// Changes of deliveries as they are committed, from now on. The stream has no end, and so no
    /// deadline.
    pub(crate) async fn watch(
        &self,
        endpoint_id: &str,
    ) -> Result<tonic::Streaming<v1::WatchDeliveriesResponse>, Status> {
        let mut request = Request::new(v1::WatchDeliveriesRequest {
            organization_id: self.id.clone(),
            endpoint_ids: vec![endpoint_id.to_owned()],
            resume_token: String::new(),
        });
        self.credentials.add_to(&mut request);
        let mut client = self.services.watches.clone();
        Ok(client.watch_deliveries(request).await?.into_inner())
    }

    fn with_credentials<T>(&self, message: T) -> Request<T> {
        with_credentials(message, &self.credentials)
    }
}

fn with_credentials<T>(message: T, credentials: &Credentials) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(ANSWER_LIMIT);
    credentials.add_to(&mut request);
    request
}
