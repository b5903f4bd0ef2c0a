//! The monitoring endpoint: `GET /metrics` for Prometheus, `GET /livez` and `GET /readyz` for
//! orchestrators. Plain HTTP without a key, so it has an address of its own, which only they should
//! be able to reach. It reveals nothing about organizations.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use clap::Args;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use keeptrusts_webhooks_telemetry::{Scrape, Telemetry};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::connections::{Limit, ListenError, Listener};
use crate::flags::listen_address;
use crate::http_server::{self, HttpLimits, TimedBody};
use crate::readiness::Readiness;

const LISTEN_FLAG: &str = "--metrics-listen";
/// Clients are few: a Prometheus or two, an orchestrator.
const MAX_CONNECTIONS: u32 = 64;
/// One misbehaving client must not keep the others out.
const MAX_CONNECTIONS_PER_PEER: u32 = 16;
/// Monitoring clients send their head at once.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Their requests have no body.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long answers may take when everything else in the process has ended.
const GRACE_PERIOD: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Telemetry")]
pub struct MonitoringFlags {
    /// Where to serve metrics for Prometheus (/metrics) and health (/livez, /readyz), for example
    /// 127.0.0.1:9464. Not served by default. Plain HTTP without a key: let only those reach it
    /// who watch.
    #[arg(long, value_name = "ADDRESS", value_parser = listen_address)]
    pub metrics_listen: Option<SocketAddr>,
}

#[derive(Debug)]
pub struct MonitoringListener {
    /// None: --metrics-listen is not given.
    listener: Option<Listener>,
}

impl MonitoringListener {
    pub async fn bind(flags: &MonitoringFlags) -> Result<MonitoringListener, ListenError> {
        let Some(address) = flags.metrics_listen else {
            return Ok(MonitoringListener { listener: None });
        };
        let listener = Listener::bind(address, LISTEN_FLAG).await?;
        tracing::info!(address = %listener.local_address(), "serving metrics and health");
        Ok(MonitoringListener { listener: Some(listener) })
    }

    /// Answers in a task until it is [stopped](RunningMonitoring::stop).
    pub fn serve(self, telemetry: Telemetry, readiness: Readiness) -> RunningMonitoring {
        let stop = CancellationToken::new();
        let state = MonitoringState { scrape: telemetry.scrape(), readiness };
        let service = MonitoringService(Arc::new(state));
        let task = self.listener.map(|listener| {
            let served =
                http_server::serve(listener, limits(), service, stop.clone(), || GRACE_PERIOD);
            tokio::spawn(served)
        });
        RunningMonitoring { telemetry, stop, task }
    }
}

/// The monitoring endpoint while it answers, and the telemetry that it serves.
#[must_use = "what has not been exported yet is lost unless it is stopped"]
pub struct RunningMonitoring {
    telemetry: Telemetry,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl RunningMonitoring {
    /// Stops answering, then exports the last spans and metrics for at most `limit`.
    pub async fn stop(self, limit: Duration) {
        self.stop.cancel();
        if let Some(task) = self.task {
            _ = task.await;
        }
        self.telemetry.stop(limit).await;
    }
}

fn limits() -> HttpLimits {
    let limit = |number| Limit { number, flag: LISTEN_FLAG };
    HttpLimits {
        max_connections: limit(MAX_CONNECTIONS),
        max_connections_per_peer: limit(MAX_CONNECTIONS_PER_PEER),
        proxies: Vec::new(),
        header_timeout: HEADER_TIMEOUT,
        body_timeout: BODY_TIMEOUT,
    }
}

#[derive(Clone)]
struct MonitoringService(Arc<MonitoringState>);

struct MonitoringState {
    scrape: Scrape,
    readiness: Readiness,
}

impl Service<Request<TimedBody>> for MonitoringService {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<TimedBody>) -> Self::Future {
        let state = Arc::clone(&self.0);
        Box::pin(async move { Ok(state.answer(request.method(), request.uri().path()).await) })
    }
}

impl MonitoringState {
    async fn answer(&self, method: &Method, path: &str) -> Response<String> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n".to_owned());
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match path {
            "/livez" => text(StatusCode::OK, "ok: alive\n".to_owned()),
            "/readyz" => {
                let report = self.readiness.report().await;
                let ready = StatusCode::OK;
                let code = if report.is_ready() { ready } else { StatusCode::SERVICE_UNAVAILABLE };
                text(code, report.to_string())
            }
            "/metrics" => match self.scrape.text().await {
                Ok(metrics) => {
                    let mut answer = text(StatusCode::OK, metrics);
                    let content_type = HeaderValue::from_static(Scrape::CONTENT_TYPE);
                    answer.headers_mut().insert(CONTENT_TYPE, content_type);
                    answer
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "no metrics");
                    text(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "the metrics cannot be written\n".to_owned(),
                    )
                }
            },
            _ => {
                let there_is = "there is /metrics, /livez and /readyz\n".to_owned();
                text(StatusCode::NOT_FOUND, there_is)
            }
        }
    }
}

fn text(code: StatusCode, text: String) -> Response<String> {
    let mut response = Response::new(text);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
