//! The listener for those who watch a process: `GET /metrics` for Prometheus, `GET /livez` and
//! `GET /readyz` for orchestrators. Plain HTTP without a token, so on an address of its own that
//! only they can reach; it tells nothing of any organization.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use keeptrusts_webhooks_telemetry::{Scrape, Telemetry};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::flags::listen_address;
use crate::readiness::Readiness;

/// Watchers are few: a Prometheus or two, an orchestrator.
const MAX_CONNECTIONS: usize = 64;
/// From connecting to the end of the answer.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(30);
/// How long a request's head may take.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
/// What a request's head may take up. (hyper's least.)
const MAX_HEAD_BYTES: usize = 8 * 1024;

/// Where a process is watched.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Telemetry")]
pub struct MonitoringFlags {
    /// Where to serve metrics for Prometheus (/metrics) and health (/livez, /readyz), for example
    /// 127.0.0.1:9464. Not served by default. Plain HTTP without a key: let only those reach it
    /// who watch.
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "KEEPTRUSTS_WEBHOOKS_METRICS_LISTEN",
        value_parser = listen_address
    )]
    pub metrics_listen: Option<SocketAddr>,
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} (--metrics-listen)")]
pub struct MonitoringError {
    address: SocketAddr,
    source: std::io::Error,
}

/// A listener for watchers.
#[derive(Debug)]
pub struct Monitoring {
    listener: Option<TcpListener>,
}

impl Monitoring {
    /// Listens where the flags say, if they do.
    pub async fn bind(flags: &MonitoringFlags) -> Result<Monitoring, MonitoringError> {
        let Some(address) = flags.metrics_listen else { return Ok(Monitoring { listener: None }) };
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| MonitoringError { address, source })?;
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "serving metrics and health");
        }
        Ok(Monitoring { listener: Some(listener) })
    }

    /// Answers, in a task of its own, until it is stopped.
    pub fn serve(self, telemetry: Telemetry, readiness: Readiness) -> Monitored {
        let stop = CancellationToken::new();
        let watched = Arc::new(Watched { scrape: telemetry.scrape(), readiness });
        let answering = self
            .listener
            .map(|listener| tokio::spawn(accept_until(stop.clone(), listener, watched)));
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

async fn accept_until(stop: CancellationToken, listener: TcpListener, watched: Arc<Watched>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, most likely: others must end first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (watched, stop) = (Arc::clone(&watched), stop.clone());
        tokio::spawn(async move {
            let answered = timeout(CONNECTION_PATIENCE, watched.answer_all(stream));
            _ = stop.run_until_cancelled(answered).await;
            drop(place);
        });
    }
}

/// What is shown to watchers.
struct Watched {
    scrape: Scrape,
    readiness: Readiness,
}

impl Watched {
    async fn answer_all(self: Arc<Self>, stream: TcpStream) {
        let service = hyper::service::service_fn(move |request: Request<_>| {
            let watched = Arc::clone(&self);
            async move {
                let path = request.uri().path().to_owned();
                Ok::<_, Infallible>(watched.answer(request.method(), &path).await)
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_PATIENCE)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        // A watcher that breaks off is its own affair.
        _ = connection.await;
    }

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
