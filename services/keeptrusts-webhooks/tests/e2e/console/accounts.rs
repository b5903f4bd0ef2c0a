//! Signing in with an account of an OpenID Connect issuer.
//!
//! [`choosing`] is about accounts of several organizations, [`telling`] is what people see in their browsers, [`refusing`] what is not let in.

mod choosing;
mod configuring;
mod refusing;
mod telling;

use keeptrusts_webhooks_testkit::http::{Client, Method, Response};
use keeptrusts_webhooks_testkit::issuer::{CLIENT_ID, CLIENT_SECRET, Issuer};

use crate::console::stage::{FORM, HttpSession};
use crate::platform::{Backend, Database, Server, ServerBuilder};

/// What people call the issuer.
const NAME: &str = "Acme ID";

/// A server whose console lets in who has an account.
struct Place {
    issuer: Issuer,
    server: Server,
    console: String,
    database: Database,
}

impl Place {
    /// With an account of this role, in the organization `acme`.
    async fn with_a(role: &str) -> Self {
        let issuer = Issuer::start("acme", role);
        Self::at(issuer, |serve| serve.env(SECRET, CLIENT_SECRET)).await
    }

    async fn at(issuer: Issuer, configure: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let database = Database::new(Backend::Sqlite).await;
        let serve = trusting(&issuer, Server::all_in_one(&database))
            .flag("--oidc-client-id", CLIENT_ID)
            .flag("--oidc-label", NAME);
        let server = configure(serve).start().await;
        let console = server.console().await;
        issuer.register(&format!("{console}/sign-in/callback"));
        Self { issuer, server, console, database }
    }

    /// A browser that has pressed the button.
    async fn begin(&self, next: &str) -> Leaving {
        let mut session = HttpSession::of_nobody(&self.console).await;
        let answer = press(&session, next).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let onwards = answer.header("refresh").and_then(|it| it.strip_prefix("0; url="));
        let page = answer.text();
        assert!(
            page.contains(r#"<a class="button primary" href="https://"#),
            "for who stays: {page}"
        );
        let flow = flow_cookies(&answer).next().expect("the browser keeps something");
        let anonymous = session.cookie.clone();
        session.cookie = format!("{anonymous}; {flow}");
        Leaving { session, to: onwards.expect("the way to the issuer").to_owned() }
    }
}

/// Where the client's secret is best given.
const SECRET: &str = "KEEPTRUSTS_WEBHOOKS_OIDC_CLIENT_SECRET";

/// Accepts the issuer's tokens for the console.
fn trusting(issuer: &Issuer, serve: ServerBuilder) -> ServerBuilder {
    let ca = issuer.ca_file().to_str().expect("the path is UTF-8");
    serve
        .flag("--oidc-issuer", &issuer.url())
        .flag("--oidc-ca", ca)
        .flag("--oidc-audience", CLIENT_ID)
}

/// Presses the button on the sign-in page.
async fn press(session: &HttpSession, next: &str) -> Response {
    let token = session.form_token("/sign-in").await;
    session.post("/sign-in/account", format!("csrf={token}&next={next}")).await
}

/// A browser on its way to the issuer.
struct Leaving {
    session: HttpSession,
    to: String,
}

impl Leaving {
    /// The path at which its owner, who has logged in, is sent back to the console.
    fn log_in(&self, issuer: &Issuer) -> String {
        let location = issuer.log_in(&self.to);
        let path = location.strip_prefix(&self.session.console).expect("it leads back");
        path.to_owned()
    }

    /// What the console answers to that.
    async fn come_back(&self, issuer: &Issuer) -> Response {
        self.session.get(&self.log_in(issuer)).await
    }
}

/// The sign-ins that an answer makes a browser keep, as it shows them afterwards.
fn flow_cookies(answer: &Response) -> impl Iterator<Item = &str> {
    let set = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
    let flows = set.map(|(_, value)| value.as_str()).filter(|it| it.starts_with(FLOW));
    flows.filter(|it| !it.contains("Max-Age=0")).map(|it| it.split(';').next().unwrap_or_default())
}

const FLOW: &str = "keeptrusts_sign_in_";

/// The session of somebody whom an answer signs in, as the browser shows it afterwards.
fn session_of(answer: &Response) -> Option<String> {
    let set = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
    let mut sessions = set.filter(|(_, value)| value.starts_with("keeptrusts_console=kt_"));
    let (_, cookie) = sessions.next()?;
    Some(cookie.split(';').next().unwrap_or_default().to_owned())
}

/// Whether an answer signs somebody in.
fn signs_in(answer: &Response) -> bool {
    session_of(answer).is_some()
}

/// Presses the button at another of the console's names.
async fn press_at(host: &str, session: &HttpSession) -> Response {
    let token = session.form_token("/sign-in").await;
    let url = format!("{}/sign-in/account", session.console);
    let headers = [("host", host), ("content-type", FORM), ("cookie", session.cookie.as_str())];
    Client::new().send(Method::POST, &url, &headers, format!("csrf={token}").into()).await
}
