//! An OpenTelemetry collector that keeps the spans and metrics that it gets over gRPC.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// A running collector; it ends when it is dropped.
pub struct Collector {
    address: SocketAddr,
    received: Arc<Received>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct Received {
    spans: Mutex<Vec<CollectedSpan>>,
    metrics: Mutex<BTreeSet<String>>,
}

/// A span, and which process sent it.
#[derive(Clone, Debug)]
pub struct CollectedSpan {
    /// The resource's `service.name`.
    pub service: String,
    pub span: Span,
}

impl CollectedSpan {
    /// As text. Panics if there is none.
    pub fn attribute(&self, key: &str) -> String {
        let found = attribute(&self.span.attributes, key);
        found.unwrap_or_else(|| panic!("{} has no attribute {key}: {self:?}", self.span.name))
    }

    /// In hex.
    pub fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    /// The parent's id, in hex.
    pub fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    /// In hex.
    pub fn trace(&self) -> String {
        hex(&self.span.trace_id)
    }

    /// The ids of linked spans, in hex.
    pub fn links(&self) -> Vec<String> {
        self.span.links.iter().map(|link| hex(&link.span_id)).collect()
    }
}

impl Collector {
    /// Starts one on a free port of 127.0.0.1. Must be called in a tokio runtime.
    pub fn start() -> Collector {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let incoming = TcpIncoming::bind(any).expect("a free port");
        let address = incoming.local_addr().expect("a listener has an address");
        let received = Arc::new(Received::default());
        let server = Server::builder()
            .add_service(TraceServiceServer::from_arc(Arc::clone(&received)))
            .add_service(MetricsServiceServer::from_arc(Arc::clone(&received)))
            .serve_with_incoming(incoming);
        let server = tokio::spawn(async move { server.await.expect("the collector serves") });
        Collector { address, received, server }
    }

    /// The value for `--otlp-endpoint`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans of a trace so far, ordered by start time.
    pub fn trace(&self, trace_id: &str) -> Vec<CollectedSpan> {
        let spans = locked(&self.received.spans);
        let mut spans: Vec<_> =
            spans.iter().filter(|span| span.trace() == trace_id).cloned().collect();
        spans.sort_by_key(|span| span.span.start_time_unix_nano);
        spans
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<CollectedSpan> {
        locked(&self.received.spans).clone()
    }

    /// The names of the metrics so far.
    pub fn metrics(&self) -> BTreeSet<String> {
        locked(&self.received.metrics).clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for of_resource in request.into_inner().resource_spans {
            let resource = of_resource.resource.unwrap_or_default();
            let service = attribute(&resource.attributes, "service.name").unwrap_or_default();
            let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let spans = spans.map(|span| CollectedSpan { service: service.clone(), span });
            locked(&self.spans).extend(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Received {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let resources = request.into_inner().resource_metrics.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_metrics);
        let names = scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name);
        locked(&self.metrics).extend(names);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        Value::BoolValue(truth) => Some(truth.to_string()),
        other => panic!("{key} is {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
