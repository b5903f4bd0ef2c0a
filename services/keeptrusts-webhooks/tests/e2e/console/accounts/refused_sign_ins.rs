//! Responses of issuers that sign nobody in. Without a browser, since no browser would send some of
//! them.

use serde_json::{Value, json};

use super::{FLOW, NAME, SignInFixture, press, press_at, session_of, signs_in};
use crate::console::fixture::{HttpSession, ORGANIZATION};
use crate::platform::eventually;
use keeptrusts_webhooks_testkit::issuer::{CLIENT_SECRET, in_seconds};

/// Changes the claims of a token.
type Change = fn(&mut Value);

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_opens_an_ordinary_session_and_its_response_is_valid_once() {
    let fixture = SignInFixture::with_a("admin").await;
    let leaving = fixture.begin("/events?page=2").await;
    let back = leaving.log_in(&fixture.issuer);
    let answer = leaving.session.get(&back).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/events?page=2")));
    assert!(signs_in(&answer), "{:?}", answer.headers);
    let forgets = |(name, value): &(String, String)| {
        name == "set-cookie" && value.starts_with(FLOW) && value.contains("Max-Age=0")
    };
    assert!(answer.headers.iter().any(forgets), "{:?}", answer.headers);
    let cookie = session_of(&answer).expect("a session");
    let session = HttpSession { cookie, ..HttpSession::of_nobody(&fixture.console).await };
    assert_eq!(session.get("/webhooks").await.status, 200);

    assert_eq!(fixture.issuer.exchange_count(), 1);
    let stranger = HttpSession::of_nobody(&fixture.console).await;
    for again in [&leaving.session, &session, &stranger] {
        let answer = again.get(&back).await;
        assert_eq!(answer.status, 400);
        assert!(!signs_in(&answer) && answer.text().contains("This sign-in is over"));
    }
    assert_eq!(fixture.issuer.exchange_count(), 1, "the issuer is not even asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_to_another_browser_is_refused() {
    let fixture = SignInFixture::with_a("admin").await;
    let (attacker, victim) = (fixture.begin("").await, fixture.begin("").await);
    let lure = attacker.log_in(&fixture.issuer);
    let (code, _) = lure.split_once("&iss=").expect("a code first");
    let made_up = format!("{code}&state={}", "0".repeat(64));
    let of_nobody = format!("{code}&state=");
    for path in [&lure, &made_up, &of_nobody, &code.to_owned(), &format!("{lure}&state=x")] {
        let answer = victim.session.get(path).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(!signs_in(&answer), "{path}");
    }
    assert_eq!(fixture.issuer.exchange_count(), 0, "nobody else's code is used");

    // With the victim's own state, the verifier does not match.
    let (_, state) = victim.to.split_once("&state=").expect("a state");
    let state = state.split('&').next().unwrap_or_default();
    let (_, iss) = lure.split_once("&iss=").expect("an issuer");
    let iss = iss.split('&').next().unwrap_or_default();
    let injected = format!("{code}&iss={iss}&state={state}");
    let answer = victim.session.get(&injected).await;
    assert_eq!((answer.status, signs_in(&answer)), (400, false));
    assert!(answer.text().contains("does not accept this sign-in any more"), "{}", answer.text());
    assert_eq!(fixture.issuer.exchange_count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_of_another_issuer_is_refused() {
    let fixture = SignInFixture::with_a("admin").await;
    for change in [
        // The mix-up attack: the browser was at another issuer.
        |path: &str| path.replace("&iss=https", "&iss=https%3A%2F%2Fevil.example%2Fhttps"),
        // Our issuer always names itself.
        |path: &str| path.replace("&iss=", "&other="),
    ] {
        let leaving = fixture.begin("").await;
        let path = change(&leaving.log_in(&fixture.issuer));
        let answer = leaving.session.get(&path).await;
        assert_eq!((answer.status, signs_in(&answer)), (400, false), "{path}");
        assert!(answer.text().contains("does not come from Acme ID"), "{path}");
    }
    assert_eq!(fixture.issuer.exchange_count(), 0, "the code is shown to nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_not_made_for_this_sign_in_is_refused() {
    let fixture = SignInFixture::with_a("admin").await;
    let tampered: [(&str, Change); 12] = [
        ("another nonce", |claims| claims["nonce"] = json!("0".repeat(64))),
        ("no nonce", |claims| claims["nonce"] = json!(null)),
        ("another issuer", |claims| claims["iss"] = json!("https://evil.example")),
        ("another audience", |claims| claims["aud"] = json!("another")),
        ("a second audience", |claims| claims["aud"] = json!([claims["aud"], "another"])),
        ("another party", |claims| claims["azp"] = json!("another")),
        ("expired", |claims| claims["exp"] = json!(in_seconds(-60))),
        ("issued long ago", |claims| claims["iat"] = json!(in_seconds(-1_000))),
        ("issued in the future", |claims| claims["iat"] = json!(in_seconds(1_000))),
        ("no time", |claims| claims["iat"] = json!(null)),
        ("another access token", |claims| claims["at_hash"] = json!("AAAA")),
        ("longer than the gate reads", |claims| claims["x"] = json!("x".repeat(9_000))),
    ];
    for (what, change) in tampered {
        fixture.issuer.tamper(change);
        let answer = fixture.begin("").await.come_back(&fixture.issuer).await;
        assert_eq!((answer.status, signs_in(&answer)), (502, false), "{what}");
        assert!(answer.text().contains("is not in order"), "{what}: {}", answer.text());
    }
    fixture.issuer.tamper(|_| {});
    let answer = fixture.begin("").await.come_back(&fixture.issuer).await;
    assert!(signs_in(&answer), "an honest one is taken");
    fixture.issuer.sign_with_wrong_key();
    let answer = fixture.begin("").await.come_back(&fixture.issuer).await;
    assert_eq!((answer.status, signs_in(&answer)), (502, false), "forged");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_a_role_sees_which_claim_is_missing_and_whom_to_ask() {
    let fixture = SignInFixture::with_a("admin").await;
    fixture.issuer.set_role(None);
    let answer = fixture.begin("/audit").await.come_back(&fixture.issuer).await;
    assert_eq!((answer.status, signs_in(&answer)), (403, false));
    let page = answer.text();
    assert!(page.contains("Your account has no role in this console"), "{page}");
    assert!(page.contains("`role`") && page.contains("accounts at Acme ID"), "{page}");
    assert!(page.contains(r#"name="next" value="/audit""#), "one can try again: {page}");
    fixture.issuer.tamper(|claims| claims["organization"] = json!(null));
    fixture.issuer.set_role(Some("viewer"));
    let page = fixture.begin("").await.come_back(&fixture.issuer).await.text();
    assert!(page.contains("`organization`"), "{page}");
    // An account of all organizations is shown the same organization as keys for all of them.
    fixture.issuer.tamper(|claims| claims["organization"] = json!("*"));
    let answer = fixture.begin("").await.come_back(&fixture.issuer).await;
    let cookie = session_of(&answer).expect("a session");
    let session = HttpSession { cookie, ..HttpSession::of_nobody(&fixture.console).await };
    let page = session.get("/webhooks").await.text();
    assert!(page.contains(&format!("<dd>{ORGANIZATION}</dd>")), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_issuer_is_not_available_people_can_retry_or_use_a_key() {
    let fixture = SignInFixture::with_a("admin").await;
    fixture.issuer.set_unavailable(true);
    let nobody = HttpSession::of_nobody(&fixture.console).await;
    let answer = press(&nobody, "/audit").await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    let page = answer.text();
    assert!(page.contains("Acme ID does not answer at the moment"), "{page}");
    assert!(page.contains(r#"id="key""#), "a key still opens");
    fixture.issuer.set_unavailable(false);
    eventually("one can try again", async || {
        (press(&nobody, "").await.status == 200).then_some(())
    })
    .await;

    let leaving = fixture.begin("").await;
    let back = leaving.log_in(&fixture.issuer);
    fixture.issuer.set_unavailable(true);
    let answer = leaving.session.get(&back).await;
    assert_eq!((answer.status, signs_in(&answer)), (503, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_with_an_account_leads_to_no_other_site() {
    let fixture = SignInFixture::with_a("viewer").await;
    for next in ["https%3A%2F%2Fevil.example%2F", "%2F%2Fevil.example", "%2F%5Cevil.example", ""] {
        let answer = fixture.begin(next).await.come_back(&fixture.issuer).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some("/webhooks")), "{next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_at_another_address_says_where_to_begin() {
    let fixture = SignInFixture::with_a("viewer").await;
    let nobody = HttpSession::of_nobody(&fixture.console).await;
    let (_, port) = fixture.console.rsplit_once(':').expect("a port");
    let answer = press_at(&format!("localhost:{port}"), &nobody).await;
    assert_eq!(answer.status, 400);
    let told = format!("To sign in with {NAME}, open {}/sign-in", fixture.console);
    assert!(answer.text().contains(&told), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_10_no_log_shows_a_secret_a_code_or_a_token() {
    let fixture = SignInFixture::with_a("admin").await;
    let mut secrets = vec![CLIENT_SECRET.to_owned()];
    for change in [(|_| {}) as Change, |claims| claims["nonce"] = json!("x")] {
        fixture.issuer.tamper(change);
        let leaving = fixture.begin("").await;
        let back = leaving.log_in(&fixture.issuer);
        leaving.session.get(&back).await;
        // A second time, when it is no longer valid.
        leaving.session.get(&back).await;
        let (_, code) = back.split_once("code=").expect("a code");
        secrets.push(code.split('&').next().unwrap_or_default().to_owned());
        let (_, flow) = leaving.session.cookie.split_once(FLOW).expect("a sign-in");
        let values = flow.split('&').filter_map(|pair| pair.rsplit_once('='));
        secrets.extend(values.map(|(_, value)| value.to_owned()).filter(|it| it.len() >= 40));
    }
    assert!(secrets.len() >= 9, "{secrets:?}");
    let log = fixture.server.process().output();
    assert!(
        log.contains("its nonce is not the one of this sign-in"),
        "the reason is logged: {log}"
    );
    for secret in secrets.iter().map(String::as_str).chain(["eyJ", "an-access-token"]) {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}
