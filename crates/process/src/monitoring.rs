//! The listener for those who watch a process: `GET /metrics` for Prometheus, `GET /livez` and
//! `GET /readyz` for orchestrators. Plain HTTP without a token, so on an address of its own that
//! only they can reach; it tells nothing of any organization.

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

/// The flag that limits who reaches it.
const LISTEN_FLAG: &str = "--metrics-listen";
/// Watchers are few: a Prometheus or two, an orchestrator.
const MAX_CONNECTIONS: u32 = 64;
/// So that one that misbehaves does not keep the others out.
const MAX_CONNECTIONS_PER_PEER: u32 = 16;
/// How long a request's head may take. Watchers send it at once.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Their requests have none.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// What answers under way may take when the process has nothing left to do.
const GRACE_PERIOD: Duration = Duration::from_millis(200);

/// Where a process is watched.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Telemetry")]
pub struct MonitoringFlags {
    /// Where to serve metrics for Prometheus (/metrics) and health (/livez, /readyz), for example
    /// 127.0.0.1:9464. Not served by default. Plain HTTP without a key: let only those reach it
    /// who watch.
    #[arg(long, value_name = "ADDRESS", value_parser = listen_address)]
    pub metrics_listen: Option<SocketAddr>,
}

/// A listener for watchers.
#[derive(Debug)]
pub struct Monitoring {
    listener: Option<Listener>,
}

impl Monitoring {
    /// Listens where the flags say, if they do.
    pub async fn bind(flags: &MonitoringFlags) -> Result<Monitoring, ListenError> {
        let Some(address) = flags.metrics_listen else { return Ok(Monitoring { listener: None }) };
        let listener = Listener::bind(address, LISTEN_FLAG).await?;
        tracing::info!(address = %listener.local_address(), "serving metrics and health");
        Ok(Monitoring { listener: Some(listener) })
    }

    /// Answers, in a task of its own, until it is stopped.
    pub fn serve(self, telemetry: Telemetry, readiness: Readiness) -> Monitored {
        let stop = CancellationToken::new();
        let watched = Watched(Arc::new(Shown { scrape: telemetry.scrape(), readiness }));
        let answering = self.listener.map(|listener| {
            let served =
                http_server::serve(listener, limits(), watched, stop.clone(), || GRACE_PERIOD);
            tokio::spawn(served)
        });
        Monitored { telemetry, stop, answering }
    }
}

/// A process that is watched.
#[must_use = "what has not been exported yet is lost unless it is stopped"]
pub struct Monitored {
    telemetry: Telemetry,
    stop: CancellationToken,
    answering: Option<JoinHandle<()>>,
}

impl Monitored {
    /// The process has nothing left to do: nobody is answered any more, and what has not been
    /// exported yet is, within `patience`.
    pub async fn stop(self, patience: Duration) {
        self.stop.cancel();
        if let Some(answering) = self.answering {
            _ = answering.await;
        }
        self.telemetry.stop(patience).await;
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

/// A process, as its watchers see it.
#[derive(Clone)]
struct Watched(Arc<Shown>);

/// What is shown to watchers.
struct Shown {
    scrape: Scrape,
    readiness: Readiness,
}

impl Service<Request<TimedBody>> for Watched {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<TimedBody>) -> Self::Future {
        let shown = Arc::clone(&self.0);
        Box::pin(async move { Ok(shown.answer(request.method(), request.uri().path()).await) })
    }
}

impl Shown {
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
