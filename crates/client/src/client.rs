//! The client and its calls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::call::UnaryRequest;
use crate::credential::Credential;
use crate::{ClientBuilder, Error, RetryPolicy, v1};

/// A client of the API. A clone is cheap and has the same connection.
///
/// A client connects when it is used, and again after the server was away. Its methods may be called from
/// any number of tasks at the same time.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    deadline: Option<Duration>,
    metadata: MetadataMap,
}

/// What clones have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) channel: Channel,
    pub(crate) credential: Credential,
    pub(crate) retry: RetryPolicy,
}

impl Client {
    /// Begins a client of the server at `https://HOST[:PORT]` or `http://HOST[:PORT]`.
    pub fn builder(address: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(address)
    }

    /// Begins a client as the environment says:
    ///
    /// | variable | |
    /// |---|---|
    /// | `KEEPTRUSTS_WEBHOOKS_ADDRESS` | the address |
    /// | `KEEPTRUSTS_WEBHOOKS_API_KEY`, or `…_API_KEY_FILE` | the key, or the file that has it |
    /// | `KEEPTRUSTS_WEBHOOKS_CA_FILE` | [authorities](ClientBuilder::ca_file) |
    /// | `KEEPTRUSTS_WEBHOOKS_CLIENT_CERT_FILE`, `…_CLIENT_KEY_FILE` | a [client certificate](ClientBuilder::client_certificate_files) |
    pub fn builder_from_env() -> ClientBuilder {
        ClientBuilder::from_variables(|name| std::env::var(name).ok())
    }

    pub(crate) fn new(shared: Arc<Shared>, deadline: Option<Duration>) -> Client {
        Client { shared, deadline, metadata: MetadataMap::new() }
    }

    /// The same client with another deadline for its calls, retries included. None: they wait for ever.
    pub fn with_deadline(&self, deadline: impl Into<Option<Duration>>) -> Client {
        Client { deadline: deadline.into(), ..self.clone() }
    }

    /// The same client whose calls carry this metadata too, for example a `traceparent`, which makes an
    /// event and its deliveries part of the caller's trace.
    ///
    /// # Errors
    ///
    /// The name or the value cannot be metadata, or the name is `authorization`, which is the key's.
    pub fn with_metadata(&self, name: &str, value: &str) -> Result<Client, Error> {
        let invalid = |what| Error::own(Code::InvalidArgument, format!("{what} of metadata"));
        let key = MetadataKey::<Ascii>::from_bytes(name.as_bytes())
            .ok()
            .filter(|key| *key != "authorization")
            .ok_or_else(|| invalid("the name cannot be one"))?;
        let value = value.parse().map_err(|_| invalid("the value cannot be one"))?;
        let mut client = self.clone();
        client.metadata.insert(key, value);
        Ok(client)
    }

    /// Publishes an event. OK means that it is durable.
    ///
    /// An event without an [idempotency key](crate::Event::idempotency_key) gets one, so that the call is repeated
    /// until its deadline if the server is away or restarts, and the event still counts once. If all that
    /// fails, it is not known whether the event was accepted; to publish it later, give it a key of your own.
    pub async fn publish(
        &self,
        event: impl Into<v1::PublishEventRequest>,
    ) -> Result<v1::PublishEventResponse, Error> {
        self.publish_event(event.into()).await
    }

    /// Calls the method of this request, and again where that is safe. The methods of the API do just this.
    pub async fn call<R: UnaryRequest>(&self, mut request: R) -> Result<R::Response, Error> {
        let is_repeatable = request.make_repeatable();
        let start = Instant::now();
        let deadline = self.deadline.and_then(|deadline| Instant::now().checked_add(deadline));
        let mut retries = self.shared.retry.start(is_repeatable, deadline);
        let mut may_change_key = true;
        // Says more than that the time is over.
        let mut last: Option<Error> = None;
        loop {
            let key = self.key().await;
            let attempt = self.attempt(request.clone(), key.as_ref(), deadline);
            let outcome = match deadline {
                Some(deadline) => timeout_at(deadline, attempt).await,
                None => Ok(attempt.await),
            };
            let error = match outcome {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(status)) => Error::from(status),
                Err(_) => Error::deadline_exceeded(),
            };
            let after = |error: Error| error.after(retries.attempts, start.elapsed());
            // The client's deadline, or the same one at the server.
            if error.code() == Code::DeadlineExceeded {
                return Err(after(last.unwrap_or(error)));
            }
            // The server refuses a key before it does anything.
            if error.code() == Code::Unauthenticated && may_change_key {
                may_change_key = false;
                if self.has_another_key(key.as_ref()).await {
                    continue;
                }
            }
            match retries.next(&error, Instant::now(), fastrand::f64()) {
                Some(at) => sleep_until(at).await,
                None => return Err(error.after(retries.attempts, start.elapsed())),
            }
            last = Some(error);
        }
    }

    async fn attempt<R: UnaryRequest>(
        &self,
        request: R,
        key: Option<&MetadataValue<Ascii>>,
        deadline: Option<Instant>,
    ) -> Result<R::Response, Status> {
        let mut request = self.request(request, key);
        if let Some(deadline) = deadline {
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        }
        let mut grpc = self.ready().await?;
        let response = grpc.unary(request, path(R::PATH), codec()).await?;
        Ok(response.into_inner())
    }

    /// The key for the next call.
    pub(crate) async fn key(&self) -> Option<MetadataValue<Ascii>> {
        self.shared.credential.current().await
    }

    /// Whether there is another key now than this one, which the server has refused.
    pub(crate) async fn has_another_key(&self, refused: Option<&MetadataValue<Ascii>>) -> bool {
        self.shared.credential.has_changed(refused).await
    }

    /// Starts a stream of responses.
    pub(crate) async fn server_stream<Q, S>(
        &self,
        request: Q,
        path_of_method: &'static str,
        key: Option<&MetadataValue<Ascii>>,
    ) -> Result<Streaming<S>, Error>
    where
        Q: Message + 'static,
        S: Message + Default + Send + 'static,
    {
        let request = self.request(request, key);
        let mut grpc = self.ready().await?;
        let response = grpc.server_streaming(request, path(path_of_method), codec()).await?;
        Ok(response.into_inner())
    }

    /// Starts a stream in both directions.
    pub(crate) async fn stream<Q, S>(
        &self,
        requests: impl tokio_stream::Stream<Item = Q> + Send + 'static,
        path_of_method: &'static str,
        key: Option<&MetadataValue<Ascii>>,
    ) -> Result<Streaming<S>, Error>
    where
        Q: Message + 'static,
        S: Message + Default + Send + 'static,
    {
        let request = self.request(requests, key);
        let mut grpc = self.ready().await?;
        let response = grpc.streaming(request, path(path_of_method), codec()).await?;
        Ok(response.into_inner())
    }

    fn request<Q>(&self, message: Q, key: Option<&MetadataValue<Ascii>>) -> Request<Q> {
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        if let Some(key) = key {
            request.metadata_mut().insert("authorization", key.clone());
        }
        request
    }

    async fn ready(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::new(self.shared.channel.clone());
        grpc.ready().await.map_err(|error| Status::from_error(Box::new(error)))?;
        Ok(grpc)
    }

    pub(crate) fn retry_policy(&self) -> &RetryPolicy {
        &self.shared.retry
    }

    /// The connection with the key, for the generated clients in [`v1`], which neither retry nor have
    /// deadlines. A key from a file is the one of now.
    pub async fn authorized_channel(
        &self,
    ) -> InterceptedService<Channel, impl tonic::service::Interceptor + Clone + use<>> {
        let key = self.key().await;
        let metadata = self.metadata.clone();
        InterceptedService::new(self.shared.channel.clone(), move |mut request: Request<()>| {
            for entry in metadata.iter() {
                if let tonic::metadata::KeyAndValueRef::Ascii(name, value) = entry {
                    request.metadata_mut().insert(name.clone(), value.clone());
                }
            }
            if let Some(key) = &key {
                request.metadata_mut().insert("authorization", key.clone());
            }
            Ok(request)
        })
    }
}

fn path(of_method: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(of_method)
}

fn codec<Q, S>() -> ProstCodec<Q, S>
where
    Q: Message + 'static,
    S: Message + Default + Send + 'static,
{
    ProstCodec::default()
}

/// Without the key and the metadata.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("credential", &self.shared.credential)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}
