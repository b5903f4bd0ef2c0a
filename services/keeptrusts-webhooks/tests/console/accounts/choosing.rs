//! An account of several organizations: the console asks which one, without a script.

use serde_json::json;

use super::{Place, session_of, signs_in};

/// The session of nobody that an answer gives.
fn anonymous_session(answer: &super::Answer) -> String {
    let set = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
    let mut sessions = set.filter(|(_, value)| value.starts_with("keeptrusts_console="));
    let (_, cookie) = sessions.next().expect("a new session, which nobody else can have");
    cookie.split(';').next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_an_account_of_several_organizations_chooses_one_and_is_in_that_one() {
    let place = Place::with_a("viewer").await;
    place.issuer.tamper(|claims| {
        claims["organization"] = json!({"globex": {"id": "2"}, "acme": {"id": "1"}});
    });
    let mut leaving = place.begin("/events").await;
    let answer = leaving.come_back(&place.issuer).await;
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
