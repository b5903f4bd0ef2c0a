//! `ktw listen`.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Args;
use http::Uri;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use keeptrusts_webhooks_client::v1;
use keeptrusts_webhooks_client::verify::{Secret, sign};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::files::{read_secret, read_text};
use crate::options::{TypeFilter, duration, value_of};
use crate::output::{Column, Kind, View, message};
use crate::session::Session;
use crate::watching::Watching;

/// What is shown of each post. It is no message of the API, but its event is.
pub(super) const VIEW: View = View {
    message: "WatchEventsResponse",
    plural: "events",
    id: "event.id",
    columns: &[
        Column::new("ACCEPTED", "event.create_time", Kind::Time),
        Column::new("EVENT", "event.id", Kind::Text),
        Column::new("TYPE", "event.event_type", Kind::Text),
        Column::new("STATUS", "status", Kind::Number),
        Column::new("TOOK", "duration", Kind::Duration),
        Column::new("ERROR", "error", Kind::Text),
    ],
};

/// As much of a response as the delivery log would keep.
const MAX_RESPONSE_BYTES: usize = 16 << 10;

/// Posts events to a server of yours as they happen, signed.
///
/// They are rendered and signed as deliveries are, with a secret of this command's own. No delivery is made,
/// nobody else's is changed, and outcomes stay in this terminal. A post is never repeated. Ctrl+C ends it.
#[derive(Args)]
pub(crate) struct Listen {
    /// Where to post events: `http://` or `https://`.
    #[arg(long, value_name = "URL", value_parser = target)]
    forward: Uri,
    #[command(flatten)]
    types: TypeFilter,
    /// The format of the bodies.
    #[arg(id = "payload_format", long = "format", value_name = "FORMAT", value_parser = value_of("PayloadFormat"))]
    format: Option<i32>,
    /// A file with the template of the format `custom`; `-` for stdin.
    #[arg(id = "payload_template", long = "template-file", value_name = "FILE")]
    template_file: Option<PathBuf>,
    /// A file with the secret that signs; `-` for stdin. By default one is generated and shown.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// How long your server may take.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    answer_timeout: Duration,
}

impl Listen {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let secret = match &self.secret_file {
            Some(file) => read_secret(file)?,
            None => generated_secret()?,
        };
        let signing = Secret::new(secret.clone());
        let signing = signing.map_err(|error| Failure::Usage(error.to_string()))?;
        let request = v1::WatchEventsRequest {
            organization_id: session.organization().await?,
            event_types: self.types.event_types.clone(),
            payload_format: self.format.unwrap_or_default(),
            payload_template: match &self.template_file {
                Some(file) => read_text(file)?,
                None => String::new(),
            },
            resume_token: String::new(),
        };
        let forwarder = Forwarder::new(self.forward, signing, self.answer_timeout)?;
        // A watch waits for a server that is away: at its beginning it should be there.
        session.caller().await?;
        let mut watching = Watching::new(session, request);
        message(&format!("Posting events to {}. Ctrl+C ends it.", forwarder.target));
        if self.secret_file.is_none() {
            message(&format!("Signed with this secret, which is new each time: {secret}"));
        }
        let mut is_first = true;
        loop {
            let event = tokio::select! {
                event = watching.next() => event?,
                _ = tokio::signal::ctrl_c() => return Ok(()),
            };
            let Some(event) = event else { return Ok(()) };
            // A response without an event only says where to resume.
            if event.event.is_none() {
                continue;
            }
            let shown = forwarder.post(&event).await;
            session.print_item(&VIEW, &shown, is_first).await?;
            is_first = false;
        }
    }
}

/// A URL, or one without its scheme, as `localhost:3000/hook`; for clap.
fn target(text: &str) -> Result<Uri, String> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let wrong = || "not a URL: use for example http://localhost:3000/webhooks".to_owned();
    let uri: Uri = whole.parse().map_err(|_| wrong())?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    if is_http && uri.host().is_some() { Ok(uri) } else { Err(wrong()) }
}

fn generated_secret() -> Result<String, Failure> {
    let mut key = [0_u8; 32];
    getrandom::fill(&mut key).map_err(|error| Failure::local("make a secret", error))?;
    Ok(format!("whsec_{}", STANDARD.encode(key)))
}

/// Posts to one URL.
struct Forwarder {
    target: Uri,
    secret: Secret,
    timeout: Duration,
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Forwarder {
    fn new(target: Uri, secret: Secret, timeout: Duration) -> Result<Forwarder, Failure> {
        let connector = hyper_rustls::HttpsConnectorBuilder::new().with_native_roots();
        let connector =
            connector.map_err(|error| Failure::local("read the system's certificates", error))?;
        let connector = connector.https_or_http().enable_http1().build();
        let http = HttpClient::builder(TokioExecutor::new()).build(connector);
        Ok(Forwarder { target, secret, timeout, http })
    }

    /// Posts an event and says what came of it, in the form of [`VIEW`].
    async fn post(&self, rendered: &v1::WatchEventsResponse) -> Value {
        let mut shown = crate::descriptors::to_json("WatchEventsResponse", rendered);
        if !rendered.error.is_empty() {
            return shown;
        }
        let began = Instant::now();
        let outcome = tokio::time::timeout(self.timeout, self.exchange(rendered)).await;
        let took = began.elapsed();
        let (status, error) = match outcome {
            Ok(Ok((status, answer))) => (status, answer),
            Ok(Err(error)) => (0, error),
            Err(_) => (0, format!("no answer within {} s", self.timeout.as_secs())),
        };
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("status".to_owned(), json!(status));
            fields.insert("duration".to_owned(), json!(format!("{:.3}s", took.as_secs_f64())));
            fields.insert("error".to_owned(), json!(error));
        }
        shown
    }

    /// The status, and the answer if it is not 2xx.
    async fn exchange(&self, rendered: &v1::WatchEventsResponse) -> Result<(u16, String), String> {
        let event = rendered.event.clone().unwrap_or_default();
        let mut request = http::Request::post(self.target.clone())
            .header("content-type", &rendered.content_type)
            .header("user-agent", concat!("ktw/", env!("CARGO_PKG_VERSION")))
            .header("x-keeptrusts-event", &event.event_type)
            // No delivery has this id: the event's stands for it.
            .header("x-keeptrusts-delivery", &event.id)
            .header("x-keeptrusts-attempt", "1");
        for (name, value) in
            sign(&self.secret, None, &event.id, SystemTime::now(), rendered.body.as_bytes())
        {
            request = request.header(name, value);
        }
        let body = Full::new(Bytes::from(rendered.body.clone()));
        let request = request.body(body).map_err(|error| error.to_string())?;
        let response = self.http.request(request).await.map_err(|error| chain(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES).collect().await;
        let answer = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
        match status.is_success() {
            true => Ok((status.as_u16(), String::new())),
            false => Ok((status.as_u16(), answer.unwrap_or_default())),
        }
    }
}

/// An error with its causes: the first line alone says only that something failed.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.last().map_or_else(|| error.to_string(), ToString::to_string)
}
