//! A gRPC server whose answers a test decides, call by call.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use keeptrusts_webhooks_client::{Client, ClientBuilder, RetryPolicy};
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tonic_types::{ErrorDetails, StatusExt};

/// How one call is answered: messages, then a status.
pub(crate) type Answer = (Vec<Vec<u8>>, Status);

/// A call of a client.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) metadata: MetadataMap,
    pub(crate) message: Vec<u8>,
}

impl Received {
    pub(crate) fn read<M: Message + Default>(&self) -> M {
        M::decode(&*self.message).expect("the request")
    }

    pub(crate) fn key(&self) -> &str {
        self.metadata.get("authorization").map_or("", |value| value.to_str().expect("ASCII"))
    }
}

#[derive(Default)]
struct Shared {
    script: VecDeque<Answer>,
    received: Vec<Received>,
}

/// A server that answers calls with one request as its script says, one call after another. Beyond the
/// script it answers UNIMPLEMENTED. It takes a stream of requests (StreamEvents) as a function says.
pub(crate) struct Scripted {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

/// What a test does with the streams of events.
pub(crate) type OnStream = Arc<
    dyn Fn(
            Streaming<Raw>,
            mpsc::Sender<Result<Raw, Status>>,
            MetadataMap,
        ) -> BoxFuture<(), Infallible>
        + Send
        + Sync,
>;

impl Scripted {
    pub(crate) async fn start(script: impl IntoIterator<Item = Answer>) -> Scripted {
        let ignored: OnStream = Arc::new(|_, _, _| Box::pin(async { Ok(()) }));
        Scripted::with_streams(script, ignored).await
    }

    pub(crate) async fn with_streams(
        script: impl IntoIterator<Item = Answer>,
        on_stream: OnStream,
    ) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Mutex::new(Shared {
            script: script.into_iter().collect(),
            received: Vec::new(),
        }));
        let task = tokio::spawn(serve(listener, Arc::clone(&shared), on_stream));
        Scripted { address, shared, task }
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        let retry = RetryPolicy::default()
            .shortest_wait(Duration::from_millis(1))
            .longest_wait(Duration::from_millis(5));
        Client::builder(format!("http://{}", self.address)).retry(retry)
    }

    pub(crate) fn client(&self) -> Client {
        self.builder().api_key("kt_1").build().expect("a client")
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).received.clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Mutex<Shared>>, on_stream: OnStream) {
    let ingest = Ingest(Calls { shared: Arc::clone(&shared), on_stream: Arc::clone(&on_stream) });
    let others = Calls { shared, on_stream };
    Server::builder()
        .add_service(ingest)
        .add_service(Endpoints(others.clone()))
        .add_service(Dispatch(others))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
        .expect("served");
}

macro_rules! services {
    ($($service:ident $name:literal),*) => {
        $(
            #[derive(Clone)]
            struct $service(Calls);

            impl NamedService for $service {
                const NAME: &'static str = $name;
            }

            impl Service<http::Request<Body>> for $service {
                type Response = http::Response<Body>;
                type Error = Infallible;
                type Future = BoxFuture<Self::Response, Infallible>;

                fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                    Poll::Ready(Ok(()))
                }

                fn call(&mut self, request: http::Request<Body>) -> Self::Future {
                    let calls = self.0.clone();
                    Box::pin(async move { Ok(calls.answer(request).await) })
                }
            }
        )*
    };
}
services! {
    Ingest "keeptrusts.webhooks.v1.IngestService",
    Endpoints "keeptrusts.webhooks.v1.EndpointService",
    Dispatch "keeptrusts.webhooks.v1.DispatchService"
}

#[derive(Clone)]
struct Calls {
    shared: Arc<Mutex<Shared>>,
    on_stream: OnStream,
}

impl Calls {
    async fn answer(&self, request: http::Request<Body>) -> http::Response<Body> {
        let is_stream = request.uri().path().ends_with("/StreamEvents");
        let call = Call { calls: self.clone(), is_stream };
        Grpc::new(ProstCodec::<Raw, Raw>::default()).streaming(call, request).await
    }
}

struct Call {
    calls: Calls,
    /// Whether the client streams.
    is_stream: bool,
}

type Responses = Pin<Box<dyn tokio_stream::Stream<Item = Result<Raw, Status>> + Send>>;

impl StreamingService<Raw> for Call {
    type Response = Raw;
    type ResponseStream = Responses;
    type Future = BoxFuture<Response<Responses>, Status>;

    fn call(&mut self, request: Request<Streaming<Raw>>) -> Self::Future {
        let (calls, is_stream) = (self.calls.clone(), self.is_stream);
        Box::pin(async move {
            let (metadata, _, mut messages) = request.into_parts();
            if is_stream {
                let (responses, receiver) = mpsc::channel(1024);
                tokio::spawn((calls.on_stream)(messages, responses, metadata));
                return Ok(Response::new(Box::pin(ReceiverStream::new(receiver)) as Responses));
            }
            let message = messages.message().await?.unwrap_or_default().0;
            let (messages, status) = {
                let mut shared = calls.shared.lock().unwrap_or_else(PoisonError::into_inner);
                shared.received.push(Received { metadata, message });
                let beyond = || (Vec::new(), Status::unimplemented("the script is over"));
                shared.script.pop_front().unwrap_or_else(beyond)
            };
            let end = (status.code() != tonic::Code::Ok).then_some(Err(status));
            let messages = messages.into_iter().map(|message| Ok(Raw(message))).chain(end);
            Ok(Response::new(Box::pin(tokio_stream::iter(messages)) as Responses))
        })
    }
}

/// A message as its bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Raw(pub(crate) Vec<u8>);

impl Message for Raw {
    fn encode_raw(&self, buffer: &mut impl prost::bytes::BufMut) {
        buffer.put_slice(&self.0);
    }

    fn merge_field(
        &mut self,
        _: u32,
        _: prost::encoding::WireType,
        _: &mut impl prost::bytes::Buf,
        _: prost::encoding::DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        unreachable!("merged as a whole")
    }

    fn merge(&mut self, mut buffer: impl prost::bytes::Buf) -> Result<(), prost::DecodeError> {
        self.0 = buffer.copy_to_bytes(buffer.remaining()).to_vec();
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

pub(crate) fn ok(message: &impl Message) -> Answer {
    many([message])
}

/// A stream that ends well.
pub(crate) fn many<'a, M: Message + 'a>(messages: impl IntoIterator<Item = &'a M>) -> Answer {
    (messages.into_iter().map(Message::encode_to_vec).collect(), Status::ok(""))
}

pub(crate) fn fails(status: Status) -> Answer {
    (Vec::new(), status)
}

pub(crate) fn unavailable() -> Answer {
    fails(Status::unavailable("not now"))
}

/// With a RetryInfo.
pub(crate) fn later(status: Status, wait: Duration) -> Answer {
    let details = ErrorDetails::with_retry_info(Some(wait));
    fails(Status::with_error_details(status.code(), status.message(), details))
}

/// The first items of a stream, or all if it has fewer.
pub(crate) async fn first<T, E: std::fmt::Debug>(
    count: usize,
    stream: impl tokio_stream::Stream<Item = Result<T, E>>,
) -> Vec<T> {
    let items: Vec<_> = std::pin::pin!(stream).take(count).collect().await;
    items.into_iter().map(|item| item.expect("no error")).collect()
}
