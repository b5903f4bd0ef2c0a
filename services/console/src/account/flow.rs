//! A sign-in that is under way. The browser keeps it until it comes back from the issuer, each in a
//! cookie of its own.
//!
//! So several tabs do not disturb one another, any replica of the console can take the browser
//! back, and nobody can fill our memory. The cookie is of use to that browser only. It is not
//! encrypted: the code that it belongs to goes through the same browser, and after it the session
//! itself (OpenID Connect Core 1.0 section 15.5.2 binds the nonce in this way).
//!
//! Decision: docs/decisions/accounts-sign-in-with-an-id-token.md

use form_urlencoded::Serializer;
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::return_path::local_path;
use crate::session::{cookies, random, set_cookie};

/// In seconds. People need time to find their second factor, but not more than that.
pub(crate) const LIFE_SECONDS: i64 = 10 * 60;
/// More of them replace the browser's oldest ones.
const MAX_FLOWS_PER_BROWSER: usize = 5;
/// A longer address is dropped: the cookies of all sign-ins of a browser must fit into the headers
/// that proxies let pass.
const MAX_NEXT_BYTES: usize = 512;
/// Covers the address that begins a sign-in and the one that ends it.
const PATH: &str = "/sign-in";
const COOKIE_PREFIX: &str = "keeptrusts_sign_in_";
/// The part of the state that tells a browser's sign-ins apart.
const STATE_IN_NAME: usize = 16;
const RANDOM_BYTES: usize = 32;

/// A sign-in under way. All fields but the last two are secrets.
pub(crate) struct Flow {
    /// The issuer's response must repeat it: that shows that this browser has asked (RFC 6749
    /// section 10.12).
    pub(crate) state: Zeroizing<String>,
    /// The token must repeat it (OpenID Connect Core 1.0 section 3.1.2.1).
    pub(crate) nonce: Zeroizing<String>,
    /// Proves that whoever exchanges the code also asked for it (RFC 7636).
    pub(crate) verifier: Zeroizing<String>,
    /// In seconds since 1970.
    since: i64,
    /// Where the browser goes afterwards.
    pub(crate) next: String,
}

impl Flow {
    pub(crate) fn begin(verifier: Zeroizing<String>, next: &str, now: Timestamp) -> Flow {
        let next = Some(local_path(next)).filter(|next| next.len() <= MAX_NEXT_BYTES);
        Flow {
            state: Zeroizing::new(hex::encode(random::<RANDOM_BYTES>())),
            nonce: Zeroizing::new(hex::encode(random::<RANDOM_BYTES>())),
            verifier,
            since: now.as_second(),
            next: next.unwrap_or_else(|| local_path("")).to_owned(),
        }
    }

    /// The browser's flow with this state, if it has one that is not over.
    pub(crate) fn of(headers: &HeaderMap, state: &str, now: Timestamp) -> Option<Flow> {
        let name = cookie_name(state)?;
        let values = cookies(headers).filter(|cookie| cookie.name() == name);
        let mut flows = values.filter_map(|cookie| Flow::read(cookie.value()));
        flows.find(|flow| *flow.state == state && !flow.is_over(now))
    }

    fn is_over(&self, now: Timestamp) -> bool {
        !(0..=LIFE_SECONDS).contains(&(now.as_second() - self.since))
    }

    fn read(value: &str) -> Option<Flow> {
        let pairs: Vec<_> = form_urlencoded::parse(value.as_bytes()).collect();
        let get = |name: &str| {
            let pair = pairs.iter().find(|(field, _)| field == name);
            pair.map(|(_, value)| value.clone().into_owned())
        };
        Some(Flow {
            state: get("state")?.into(),
            nonce: get("nonce")?.into(),
            verifier: get("verifier")?.into(),
            since: get("since")?.parse().ok()?,
            next: local_path(&get("next")?).to_owned(),
        })
    }

    /// The cookie that stores it in the browser.
    pub(crate) fn cookie(&self, is_secure: bool) -> Option<HeaderValue> {
        let value = Serializer::new(String::new())
            .append_pair("state", &self.state)
            .append_pair("nonce", &self.nonce)
            .append_pair("verifier", &self.verifier)
            .append_pair("since", &self.since.to_string())
            .append_pair("next", &self.next)
            .finish();
        let name = cookie_name(&self.state)?;
        Some(set_cookie(&name, &value, PATH, Some(LIFE_SECONDS), is_secure))
    }

    /// The cookie that deletes it: a flow is used once, whatever its outcome.
    pub(crate) fn forget(&self, is_secure: bool) -> Option<HeaderValue> {
        Some(forgotten(&cookie_name(&self.state)?, is_secure))
    }
}

/// Cookies that delete the flows that are over, and the oldest ones, so that there is room for
/// another.
pub(crate) fn cookies_to_forget(
    headers: &HeaderMap,
    now: Timestamp,
    is_secure: bool,
) -> Vec<HeaderValue> {
    let mut known: Vec<(Option<i64>, String)> = cookies(headers)
        .filter(|cookie| cookie.name().starts_with(COOKIE_PREFIX))
        .map(|cookie| {
            let flow = Flow::read(cookie.value()).filter(|flow| !flow.is_over(now));
            (flow.map(|flow| flow.since), cookie.name().to_owned())
        })
        .collect();
    // Those that are over sort first.
    known.sort();
    let over = known.iter().filter(|(since, _)| since.is_none()).count();
    let too_many = known.len().saturating_sub(MAX_FLOWS_PER_BROWSER - 1);
    let gone = known.into_iter().take(over.max(too_many));
    gone.map(|(_, name)| forgotten(&name, is_secure)).collect()
}

fn forgotten(name: &str, is_secure: bool) -> HeaderValue {
    set_cookie(name, "", PATH, Some(0), is_secure)
}

/// None: it is not a state of ours.
fn cookie_name(state: &str) -> Option<String> {
    let is_ours = hex::decode(state).is_ok_and(|bytes| bytes.len() == RANDOM_BYTES);
    is_ours.then(|| format!("{COOKIE_PREFIX}{}", &state[..STATE_IN_NAME]))
}

#[cfg(test)]
mod tests {
    use http::header::COOKIE;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn flow(next: &str, second: i64) -> Flow {
        Flow::begin(Zeroizing::new("v".repeat(43)), next, at(second))
    }

    fn kept(flows: &[&Flow]) -> HeaderMap {
        let cookies = flows.iter().map(|flow| {
            let cookie = flow.cookie(true).expect("a cookie");
            let text = cookie.to_str().expect("ASCII").to_owned();
            text.split(';').next().unwrap_or_default().to_owned()
        });
        let all = cookies.collect::<Vec<_>>().join("; ");
        HeaderMap::from_iter([(COOKIE, all.parse().expect("a value"))])
    }

    #[test]
    fn a_browser_comes_back_to_what_it_has_begun() {
        let (one, other) = (flow("/events?page=a%2Fb&q=x", 1_000), flow("/audit", 1_000));
        let headers = kept(&[&one, &other]);
        let found = Flow::of(&headers, &one.state, at(1_060)).expect("it has begun it");
        assert_eq!(found.next, "/events?page=a%2Fb&q=x");
        assert!(found.nonce == one.nonce && found.verifier == one.verifier);
        assert!(one.state != other.state && one.nonce != other.nonce && one.state != one.nonce);
        let stranger = flow("/audit", 1_000);
        for state in [stranger.state.as_str(), "", "x", &one.state.to_uppercase()] {
            assert!(Flow::of(&headers, state, at(1_060)).is_none(), "{state}");
        }
        // The cookie's name alone is not enough.
        let tail = stranger.state.get(STATE_IN_NAME..).expect("long enough");
        let alike = format!("{}{tail}", &one.state[..STATE_IN_NAME]);
        assert!(Flow::of(&headers, &alike, at(1_060)).is_none());
    }

    #[test]
    fn it_must_come_back_within_ten_minutes() {
        let flow = flow("", 1_000);
        let headers = kept(&[&flow]);
        assert!(Flow::of(&headers, &flow.state, at(1_600)).is_some());
        assert!(Flow::of(&headers, &flow.state, at(1_601)).is_none());
        assert!(Flow::of(&headers, &flow.state, at(999)).is_none(), "nothing begins in the future");
    }

    #[test]
    fn its_cookie_is_out_of_reach_of_scripts_and_ends_with_it() {
        let flow = flow("", 1_000);
        let cookie = flow.cookie(true).expect("a cookie");
        let text = cookie.to_str().expect("ASCII");
        for attribute in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/sign-in", "Max-Age=600"] {
            assert!(text.split("; ").any(|it| it == attribute), "{attribute} is not in {text}");
        }
        let gone = flow.forget(false).expect("a cookie");
        let gone = gone.to_str().expect("ASCII");
        assert!(gone.contains("Max-Age=0") && gone.starts_with(&text[..35]), "{gone}");
    }

    #[test]
    fn invariant_9_a_browser_has_few_under_way_and_none_leads_elsewhere_or_far() {
        let flows: Vec<Flow> = (0..6).map(|second| flow("/", second)).collect();
        let headers = kept(&flows.iter().collect::<Vec<_>>());
        let gone = cookies_to_forget(&headers, at(10), false);
        assert_eq!(gone.len(), 2, "the oldest two, for the next one to be the fifth");
        for (cookie, flow) in gone.iter().zip(&flows) {
            let name = cookie_name(&flow.state).expect("ours");
            assert!(cookie.to_str().expect("ASCII").starts_with(&name), "{cookie:?}");
        }
        assert_eq!(cookies_to_forget(&headers, at(10_000), false).len(), 6, "all of them are over");
        assert_eq!(flow("https://evil.example", 0).next, "/webhooks");
        assert_eq!(flow(&format!("/{}", "a".repeat(600)), 0).next, "/webhooks");
    }
}
