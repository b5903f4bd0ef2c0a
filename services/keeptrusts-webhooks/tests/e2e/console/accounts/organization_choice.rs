//! Accounts and web tokens of several organizations: the console asks which one, without scripts.

use keeptrusts_webhooks_testkit::issuer::Issuer;
use serde_json::json;

use super::{SignInFixture, session_of, signs_in, trusting};
use crate::console::fixture::HttpSession;
use crate::platform::{Backend, Database, Server};

/// The anonymous session that a response sets.
fn anonymous_session(answer: &super::Response) -> String {
    let set = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
    let mut sessions = set.filter(|(_, value)| value.starts_with("keeptrusts_console="));
    let (_, cookie) = sessions.next().expect("a new session, which nobody else can have");
    cookie.split(';').next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pasted_web_token_of_several_organizations_asks_for_a_choice() {
    let issuer = Issuer::start("acme", "viewer");
    let database = Database::new(Backend::Sqlite).await;
    // Tokens are accepted, but there is no sign-in with accounts.
    let server = trusting(&issuer, Server::all_in_one(&database)).start().await;
    issuer.tamper(|claims| claims["organization"] = json!(["globex", "acme"]));
    let token = issuer.token();
    let console = server.console().await;
    let paste = async |organization: &str| {
        let session = HttpSession::of_nobody(&console).await;
        let csrf = session.form_token("/sign-in").await;
        let body = format!("csrf={csrf}&key={token}&organization={organization}&next=/events");
        let answer = session.post("/sign-in", body).await;
        (session, answer)
    };
    let (_, answer) = paste("acme").await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/events")), "it was said");

    let (mut session, answer) = paste("default").await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/sign-in/organization")));
    assert!(!signs_in(&answer));
    session.cookie = anonymous_session(&answer);
    let page = session.get("/sign-in/organization").await.text();
    assert!(page.contains("<option>acme</option>") && !page.contains("eyJ"), "{page}");
    let csrf = session.form_token("/sign-in/organization").await;
    let body = format!("csrf={csrf}&organization=globex");
    let answer = session.post("/sign-in/organization", body.clone()).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/events")));
    let again = session.post("/sign-in/organization", body).await;
    assert_eq!((again.status, again.header("location")), (303, Some("/sign-in")), "it was chosen");
    session.cookie = session_of(&answer).expect("a session");
    let page = session.get("/events").await.text();
    assert!(page.contains("globex") && !page.contains("acme<"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_several_organizations_chooses_one() {
    let fixture = SignInFixture::with_a("viewer").await;
    fixture.issuer.tamper(|claims| {
        claims["organization"] = json!({"globex": {"id": "2"}, "acme": {"id": "1"}});
    });
    let mut leaving = fixture.begin("/events").await;
    let answer = leaving.come_back(&fixture.issuer).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/sign-in/organization")));
    assert!(!signs_in(&answer));

    let before = leaving.session.get("/sign-in/organization").await;
    assert_eq!(before.header("location"), Some("/sign-in"), "the session before has no choice");
    leaving.session.cookie = anonymous_session(&answer);
    let page = leaving.session.get("/sign-in/organization").await.text();
    let acme = page.find("<option>acme</option>").expect("is offered");
    assert!(page.find("<option>globex</option>").is_some_and(|globex| acme < globex), "{page}");
    assert!(!page.contains("eyJ"), "no token is in the page");

    let csrf = leaving.session.form_token("/sign-in/organization").await;
    let choose = async |id: &str| {
        let body = format!("csrf={csrf}&organization={id}");
        leaving.session.post("/sign-in/organization", body).await
    };
    for other in ["initech", "*", ""] {
        let answer = choose(other).await;
        assert_eq!(answer.status, 422, "{other}");
        assert!(answer.text().contains("Choose one of your organizations.") && !signs_in(&answer));
    }
    let answer = choose("globex").await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/events")));
    let again = choose("acme").await;
    assert!(again.status == 400 && !signs_in(&again), "it was chosen already");

    leaving.session.cookie = session_of(&answer).expect("a session");
    let page = leaving.session.get("/events").await.text();
    assert!(page.contains("globex") && !page.contains("acme<"), "{page}");
}
