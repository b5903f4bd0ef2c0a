//! Signing in with an account of an OpenID Connect issuer.
//!
//! [`organization_choice`] is about accounts of several organizations, [`sign_in_pages`] about what people see in
//! their browsers, [`refused_sign_ins`] about sign-ins that are refused.

mod configuration;
mod organization_choice;
mod refused_sign_ins;
mod sign_in_pages;

use keeptrusts_webhooks_testkit::http::{Client, Method, Response};
use keeptrusts_webhooks_testkit::issuer::{CLIENT_ID, CLIENT_SECRET, Issuer};

use crate::console::fixture::{FORM, HttpSession};
use crate::platform::{Backend, Database, Server, ServerBuilder};

/// The issuer's name on the button.
const NAME: &str = "Acme ID";

/// A server whose console signs people in with accounts.
struct SignInFixture {
    issuer: Issuer,
    server: Server,
    console: String,
    database: Database,
}

impl SignInFixture {
    /// With an account of this role in the organization `acme`.
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

    /// A browser after pressing the button.
    async fn begin(&self, next: &str) -> StartedSignIn {
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
        StartedSignIn { session, to: onwards.expect("the way to the issuer").to_owned() }
    }
}

/// The best way to give the client's secret.
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
struct StartedSignIn {
    session: HttpSession,
    to: String,
}

impl StartedSignIn {
    /// The path at which the issuer sends its owner back to the console after the login.
    fn log_in(&self, issuer: &Issuer) -> String {
        let location = issuer.log_in(&self.to);
        let path = location.strip_prefix(&self.session.console).expect("it leads back");
        path.to_owned()
    }

    /// The console's response to that.
    async fn come_back(&self, issuer: &Issuer) -> Response {
        self.session.get(&self.log_in(issuer)).await
    }
}

/// The sign-in cookies that a response sets, as the browser sends them afterwards.
fn flow_cookies(answer: &Response) -> impl Iterator<Item = &str> {
    let set = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
    let flows = set.map(|(_, value)| value.as_str()).filter(|it| it.starts_with(FLOW));
    flows.filter(|it| !it.contains("Max-Age=0")).map(|it| it.split(';').next().unwrap_or_default())
}

const FLOW: &str = "keeptrusts_sign_in_";

/// The session cookie that a response sets, as the browser sends it afterwards.
fn session_of(answer: &Response) -> Option<String> {
    let set = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
    let mut sessions = set.filter(|(_, value)| value.starts_with("keeptrusts_console=kt_"));
    let (_, cookie) = sessions.next()?;
    Some(cookie.split(';').next().unwrap_or_default().to_owned())
}

/// Whether a response signs somebody in.
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
