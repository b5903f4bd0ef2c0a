//! A client of the platform, with the methods of an organization's people and services.

use std::net::SocketAddr;

use keeptrusts_webhooks_contracts::client::{AuthorizedChannel, Bearer};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::dispatch_service_client::DispatchServiceClient;
use keeptrusts_webhooks_contracts::v1::endpoint_service_client::EndpointServiceClient;
use keeptrusts_webhooks_contracts::v1::ingest_service_client::IngestServiceClient;
use keeptrusts_webhooks_contracts::v1::publish_event_request::Payload;
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use tonic::transport::{Channel, Endpoint as Target};
use tonic::{Code, Status};

use super::eventually;

/// A client for one organization. It connects when it is used, and again after a restart of the
/// server on the same port.
///
/// Its own methods panic when the server refuses. For calls that should be refused, use
/// [`endpoints`](Self::endpoints), [`ingest`](Self::ingest) and [`dispatch`](Self::dispatch).
#[derive(Clone, Debug)]
pub(crate) struct Client {
    organization: String,
    endpoints: EndpointServiceClient<AuthorizedChannel>,
    ingest: IngestServiceClient<AuthorizedChannel>,
    dispatch: DispatchServiceClient<AuthorizedChannel>,
}

/// A created endpoint and its secret.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// `data` as JSON text.
pub(crate) fn data_json(json: &str) -> Option<Payload> {
    Some(Payload::DataJson(json.to_owned()))
}

impl Client {
    /// A client of the three services at their addresses, with the first key.
    pub(crate) fn new(
        organization: &str,
        endpoint_service: SocketAddr,
        ingest_service: SocketAddr,
        dispatch_service: SocketAddr,
    ) -> Self {
        let services = [endpoint_service, ingest_service, dispatch_service];
        Self::with_token(organization, services.map(channel), FIRST_KEY)
    }

    /// The same with this token; the three services in this order.
    pub(crate) fn with_token(organization: &str, services: [Channel; 3], token: &str) -> Self {
        let bearer = Bearer::new(token).expect("a token");
        let [endpoints, ingest, dispatch] = services.map(|channel| bearer.clone().on(channel));
        Self {
            organization: organization.to_owned(),
            endpoints: EndpointServiceClient::new(endpoints),
            ingest: IngestServiceClient::new(ingest),
            dispatch: DispatchServiceClient::new(dispatch),
        }
    }

    /// The same for another organization.
    pub(crate) fn of(&self, organization: &str) -> Self {
        Self { organization: organization.to_owned(), ..self.clone() }
    }

    /// The organization's id.
    pub(crate) fn organization(&self) -> String {
        self.organization.clone()
    }

    pub(crate) fn endpoints(&self) -> EndpointServiceClient<AuthorizedChannel> {
        self.endpoints.clone()
    }

    pub(crate) fn ingest(&self) -> IngestServiceClient<AuthorizedChannel> {
        self.ingest.clone()
    }

    pub(crate) fn dispatch(&self) -> DispatchServiceClient<AuthorizedChannel> {
        self.dispatch.clone()
    }

    /// Creates an endpoint with a generated secret.
    pub(crate) async fn create_endpoint(&self, url: &str, event_types: &[&str]) -> Endpoint {
        let request = v1::CreateEndpointRequest {
            organization_id: self.organization(),
            endpoint: Some(v1::Endpoint {
                display_name: "receiver".to_owned(),
                url: url.to_owned(),
                event_types: event_types.iter().map(|name| (*name).to_owned()).collect(),
                ..v1::Endpoint::default()
            }),
            ..Default::default()
        };
        let answer = self.endpoints().create_endpoint(request).await;
        let v1::CreateEndpointResponse { endpoint, secret, standard_webhooks_secret, .. } =
            answer.expect("the endpoint is created").into_inner();
        assert_eq!(secret, standard_webhooks_secret, "a generated secret has one form");
        Endpoint { id: endpoint.expect("an endpoint").id, secret }
    }

    pub(crate) async fn endpoint(&self, id: &str) -> v1::Endpoint {
        let request = v1::GetEndpointRequest {
            organization_id: self.organization(),
            endpoint_id: id.to_owned(),
        };
        let answer = self.endpoints().get_endpoint(request).await.expect("the endpoint is there");
        answer.into_inner().endpoint.expect("an endpoint")
    }

    /// Waits until an endpoint has a status.
    pub(crate) async fn wait_for_status(
        &self,
        id: &str,
        status: v1::endpoint::State,
    ) -> v1::Endpoint {
        eventually(&format!("endpoint {id} is {status:?}"), async || {
            Some(self.endpoint(id).await).filter(|endpoint| endpoint.state() == status)
        })
        .await
    }

    /// The request that publishes an event with `data` as JSON text.
    pub(crate) fn event(&self, event_type: &str, json: &str) -> v1::PublishEventRequest {
        v1::PublishEventRequest {
            organization_id: self.organization(),
            event_type: event_type.to_owned(),
            payload: data_json(json),
            ..Default::default()
        }
    }

    /// Publishes an event; returns its id.
    pub(crate) async fn publish(&self, event_type: &str, json: &str) -> String {
        let answer = self.ingest().publish_event(self.event(event_type, json)).await;
        answer.expect("the event is accepted").into_inner().event_id
    }

    /// The deliveries of an event, without attempts; at most 1,000.
    pub(crate) async fn deliveries_of(&self, event_id: &str) -> Vec<v1::Delivery> {
        self.try_deliveries_of(event_id).await.expect("deliveries are listed")
    }

    async fn try_deliveries_of(&self, event_id: &str) -> Result<Vec<v1::Delivery>, Status> {
        let request = v1::ListDeliveriesRequest {
            organization_id: self.organization(),
            event_id: event_id.to_owned(),
            page_size: 1_000,
            ..Default::default()
        };
        Ok(self.dispatch().list_deliveries(request).await?.into_inner().deliveries)
    }

    /// A delivery with its attempts.
    pub(crate) async fn delivery(&self, id: &str) -> v1::Delivery {
        self.try_delivery(id).await.expect("the delivery is there")
    }

    async fn try_delivery(&self, id: &str) -> Result<v1::Delivery, Status> {
        let request = v1::GetDeliveryRequest {
            organization_id: self.organization(),
            delivery_id: id.to_owned(),
            ..Default::default()
        };
        let answer = self.dispatch().get_delivery(request).await?.into_inner();
        Ok(answer.delivery.expect("a delivery"))
    }

    /// Waits until the event's one delivery satisfies the predicate; returns the delivery with its
    /// attempts. Repeats calls that are answered UNAVAILABLE.
    #[expect(clippy::print_stdout, reason = "shown when a test has failed")]
    pub(crate) async fn wait_for_delivery(
        &self,
        event_id: &str,
        what: &str,
        satisfied: impl Fn(&v1::Delivery) -> bool,
    ) -> v1::Delivery {
        let id = eventually(&format!("{event_id} is routed"), async || {
            available(self.try_deliveries_of(event_id).await)?.pop().map(|delivery| delivery.id)
        })
        .await;
        let mut told = 0;
        eventually(&format!("{id} {what}"), async || {
            let delivery = available(self.try_delivery(&id).await)?;
            // A failure shows the last state instead.
            for attempt in delivery.attempts.iter().skip(told) {
                let v1::Attempt { number, error, remark, .. } = attempt;
                println!("{id}, attempt {number}: {error:?}, remark {remark:?}");
            }
            told = delivery.attempts.len();
            Some(delivery).filter(&satisfied)
        })
        .await
    }

    /// Waits until the event's one delivery has failed for good, without reading large attempts;
    /// returns the delivery with its attempts.
    pub(crate) async fn wait_for_failure(&self, event_id: &str) -> v1::Delivery {
        let mut attempt_count = 0;
        loop {
            let next = eventually(&format!("{event_id} is attempted again"), async || {
                let delivery = self.deliveries_of(event_id).await.pop();
                delivery.filter(|delivery| {
                    delivery.attempt_count > attempt_count
                        || delivery.state() == v1::delivery::State::Failed
                })
            })
            .await;
            if next.state() == v1::delivery::State::Failed {
                return self.delivery(&next.id).await;
            }
            attempt_count = next.attempt_count;
        }
    }

    /// Waits until the event's one delivery is in a state; returns the delivery with its attempts.
    pub(crate) async fn wait_for_state(
        &self,
        event_id: &str,
        state: v1::delivery::State,
    ) -> v1::Delivery {
        let what = format!("is {state:?}");
        self.wait_for_delivery(event_id, &what, |delivery| delivery.state() == state).await
    }
}

/// None: the server is not available.
fn available<T>(answer: Result<T, Status>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(status) if status.code() == Code::Unavailable => None,
        Err(status) => panic!("{status}"),
    }
}

pub(crate) fn channel(address: SocketAddr) -> Channel {
    let target = Target::from_shared(format!("http://{address}"));
    target.expect("an address makes a URL").connect_lazy()
}
