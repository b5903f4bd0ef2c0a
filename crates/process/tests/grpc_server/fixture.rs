//! A server with one service, and a call that waits until the test lets it finish.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{Stream, StreamExt};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::ingest_service_client::IngestServiceClient;
use keeptrusts_webhooks_contracts::v1::ingest_service_server::{
    IngestService, IngestServiceServer,
};
use keeptrusts_webhooks_domain::access::{Caller, Credential, OrganizationScope, Role};
use keeptrusts_webhooks_process::deadline;
use keeptrusts_webhooks_process::grpc_server::limits::NO_DECODING_LIMIT;
use keeptrusts_webhooks_process::grpc_server::{
    GrpcServer, InProcess, LimitFlags, Listener, Peer, ReceivedMessages, ServeError, ServiceHealth,
};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use tonic_types::StatusExt;

pub(crate) const SERVICE: &str = "keeptrusts.webhooks.v1.IngestService";

/// Longer than anything here takes, so that a broken test fails instead of hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Fixture {
    pub(crate) address: SocketAddr,
    pub(crate) health: ServiceHealth,
    pub(crate) shutdown: CancellationToken,
    pub(crate) gate: Gate,
    pub(crate) in_process: InProcess,
    pub(crate) served: JoinHandle<Result<(), ServeError>>,
}

/// Admits every request. The header [`ORGANIZATION`] makes its caller a member of an organization.
struct LetsAllIn;

pub(crate) const ORGANIZATION: &str = "x-organization";
/// The type of the items that [`GatedIngest`] keeps in memory.
pub(crate) const HELD: &str = "held";
/// The organization whose key is admitted and revoked at once.
pub(crate) const REVOKED: &str = "revoked";

#[tonic::async_trait]
impl keeptrusts_webhooks_process::grpc_server::Gate for LetsAllIn {
    async fn admit(&self, request: &http::request::Parts) -> Result<Option<Caller>, Status> {
        let Some(organization) = request.headers.get(ORGANIZATION) else { return Ok(None) };
        let organization = organization.to_str().expect("a text");
        Ok(Some(Caller {
            actor: organization.into(),
            name: "key".into(),
            role: Role::Admin,
            organizations: OrganizationScope::One(organization.parse().expect("an id")),
            expire_time: None,
            credential: Credential::WebToken,
            address: None,
        }))
    }

    async fn access_ended(&self, caller: Caller) -> Status {
        if &*caller.actor != REVOKED {
            std::future::pending::<()>().await;
        }
        Status::unauthenticated("revoked")
    }
}

/// Holds calls of GetEvent.
#[derive(Clone)]
pub(crate) struct Gate {
    arrived: Arc<Semaphore>,
    opened: Arc<Semaphore>,
}

impl Gate {
    /// Waits until a call arrives.
    pub(crate) async fn arrival(&self) {
        let arrival = tokio::time::timeout(PATIENCE, self.arrived.acquire()).await;
        arrival.expect("a request arrives").expect("never closed").forget();
    }

    pub(crate) fn open(&self) {
        self.opened.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

impl Fixture {
    pub(crate) async fn start() -> Fixture {
        Fixture::with_grace_period(PATIENCE).await
    }

    pub(crate) async fn with_grace_period(grace_period: Duration) -> Fixture {
        let listener = listener("127.0.0.1:0").await;
        Fixture::serving(listener, LimitFlags::default(), grace_period)
    }

    pub(crate) async fn with_limits(limits: LimitFlags) -> Fixture {
        Fixture::serving(listener("127.0.0.1:0").await, limits, PATIENCE)
    }

    pub(crate) fn serving(
        listener: Listener,
        limits: LimitFlags,
        grace_period: Duration,
    ) -> Fixture {
        let address = listener.local_address();
        let gate =
            Gate { arrived: Arc::new(Semaphore::new(0)), opened: Arc::new(Semaphore::new(0)) };
        let shutdown = CancellationToken::new();
        let server = GrpcServer::new(Arc::new(LetsAllIn))
            .service(
                IngestServiceServer::new(GatedIngest(gate.clone()))
                    .max_decoding_message_size(NO_DECODING_LIMIT),
            )
            .limits(limits)
            .grace_period(grace_period);
        let health = server.health();
        let in_process = server.in_process();
        let served = tokio::spawn(server.serve(listener, shutdown.clone()));
        Fixture { address, health, shutdown, gate, in_process, served }
    }

    pub(crate) async fn connect(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).expect("a URI");
        endpoint.connect().await.expect("the server accepts")
    }

    pub(crate) async fn client(&self) -> IngestServiceClient<Channel> {
        IngestServiceClient::new(self.connect().await)
    }

    /// A call that has arrived and waits.
    pub(crate) async fn request_in_flight(&self) -> JoinHandle<Result<String, Status>> {
        let mut client = self.client().await;
        let request = tokio::spawn(async move {
            let answer = client.get_event(v1::GetEventRequest::default()).await?;
            Ok(answer.into_inner().event.unwrap_or_default().id)
        });
        self.gate.arrival().await;
        request
    }

    /// Waits until the server has ended.
    pub(crate) async fn ended(self) {
        let served = tokio::time::timeout(PATIENCE, self.served).await;
        served.expect("the server ends").expect("no panic").expect("no error");
    }
}

pub(crate) async fn listener(address: &str) -> Listener {
    let address = address.parse().expect("an address");
    Listener::bind(address, "--listen").await.expect("a free port")
}

/// The client's peer as the server sees it.
pub(crate) async fn peer(channel: Channel) -> Result<String, Status> {
    let asked = async {
        let mut client = IngestServiceClient::new(channel);
        client.list_events(v1::ListEventsRequest::default()).await
    };
    let answer = tokio::time::timeout(PATIENCE, asked).await.expect("an answer or an error");
    Ok(answer?.into_inner().events.remove(0).id)
}

pub(crate) fn reason(status: &Status) -> String {
    status.get_details_error_info().expect("every status of ours has an ErrorInfo").reason
}

struct GatedIngest(Gate);

#[tonic::async_trait]
impl IngestService for GatedIngest {
    type StreamEventsStream =
        Pin<Box<dyn Stream<Item = Result<v1::StreamEventsResponse, Status>> + Send>>;

    /// Answers each item at once. The event's id is the number of bytes that the item is charged for.
    /// Items of the type [`HELD`] stay in memory until the stream ends.
    async fn stream_events(
        &self,
        request: Request<Streaming<v1::StreamEventsRequest>>,
    ) -> Result<Response<Self::StreamEventsStream>, Status> {
        let received = ReceivedMessages::of(request.extensions()).expect("the request is a stream");
        let mut held = Vec::new();
        let answers = request.into_inner().map(move |item| {
            let v1::StreamEventsRequest { sequence_number, request } = item?;
            let memory = received.next().expect("one for each message");
            let event_id = memory.bytes().to_string();
            if request.is_some_and(|event| event.event_type == HELD) {
                held.push(memory);
            }
            let response = v1::PublishEventResponse { event_id, duplicate: false };
            let result = Some(v1::stream_events_response::Result::Response(response));
            Ok(v1::StreamEventsResponse { sequence_number, result })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    /// Answers at once. The event's id is the number of bytes of its data.
    async fn publish_event(
        &self,
        request: Request<v1::PublishEventRequest>,
    ) -> Result<Response<v1::PublishEventResponse>, Status> {
        let event_id = match request.into_inner().payload {
            Some(v1::publish_event_request::Payload::DataJson(json)) => json.len().to_string(),
            _ => String::new(),
        };
        Ok(Response::new(v1::PublishEventResponse { event_id, duplicate: false }))
    }

    /// Answers at once, with a kilobyte for each event.
    async fn batch_publish_events(
        &self,
        request: Request<v1::BatchPublishEventsRequest>,
    ) -> Result<Response<v1::BatchPublishEventsResponse>, Status> {
        use v1::batch_publish_events_response as response;
        let status = tonic_types::Status { message: "x".repeat(1_024), ..Default::default() };
        let result = response::Result { result: Some(response::result::Result::Status(status)) };
        let results = vec![result; request.get_ref().requests.len()];
        Ok(Response::new(v1::BatchPublishEventsResponse { results }))
    }

    /// Waits until the test opens the gate.
    async fn get_event(
        &self,
        _: Request<v1::GetEventRequest>,
    ) -> Result<Response<v1::GetEventResponse>, Status> {
        self.0.arrived.add_permits(1);
        let _opened = self.0.opened.acquire().await;
        let event = v1::Event { id: "finished".to_owned(), ..Default::default() };
        Ok(Response::new(v1::GetEventResponse { event: Some(event) }))
    }

    /// Answers at once, with the requested number of events and at least one. The page token is the
    /// time that is left, in seconds; the id of each event is the peer's name.
    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        let remaining = deadline::remaining(&request).map(|remaining| remaining.as_secs());
        let next_page_token = format!("{remaining:?}");
        let peer = Peer::of(request.extensions()).expect("every request has a peer");
        let event = v1::Event { id: peer.to_string(), ..Default::default() };
        let events = vec![event; request.get_ref().page_size.max(1) as usize];
        Ok(Response::new(v1::ListEventsResponse { events, next_page_token }))
    }
}
