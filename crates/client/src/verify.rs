//! Verification of deliveries, for receivers.
//!
//! A delivery is signed twice:
//!
//! * as [Standard Webhooks 1.0](https://www.standardwebhooks.com/) defines it, in `webhook-id`,
//!   `webhook-timestamp` and `webhook-signature`. The time of the attempt is signed, so that a recorded
//!   request cannot be sent again later. [`Verifier::verify`] verifies this one; **use it**.
//! * in `X-Keeptrusts-Signature`, which covers the body only. [`Verifier::verify_body`] verifies it, for
//!   receivers that are given nothing else.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use keeptrusts_webhooks_client::verify::{Secret, VerifyError, Verifier, sign};
//!
//! let secret = Secret::new("whsec_paWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaU=")?;
//! let verifier = Verifier::of([secret.clone()]);
//!
//! // A test of a receiver signs as the server does.
//! let body = br#"{"event":"webhook.test"}"#;
//! let headers = sign(&secret, None, "evt_1", SystemTime::now(), body);
//! assert!(verifier.verify(&headers, body).is_ok());
//! assert_eq!(verifier.verify(&headers, b"{}"), Err(VerifyError::BadSignature));
//!
//! let tomorrow = SystemTime::now() + Duration::from_secs(86_400);
//! let late = verifier.verify_at(&headers, body, tomorrow);
//! assert_eq!(late, Err(VerifyError::TimestampTooOld));
//! # Ok::<(), keeptrusts_webhooks_client::verify::InvalidSecret>(())
//! ```
//!
//! Verify the bytes of the body as they arrived, before they are parsed. Headers are anything that yields
//! pairs of a name and a value: a reference to an `http::HeaderMap`, to a map or to a list of pairs.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

type HmacSha256 = Hmac<Sha256>;

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";
const BODY_SIGNATURE: &str = "x-keeptrusts-signature";
const PREVIOUS_BODY_SIGNATURE: &str = "x-keeptrusts-signature-previous";

/// The prefix of a secret in the form of Standard Webhooks. The base64 of the key follows.
const STANDARD_PREFIX: &str = "whsec_";
const TAG_BYTES: usize = 32;
/// Until the year 33658.
const MAX_TIMESTAMP_DIGITS: usize = 12;
/// A rotation has two; more than this are no honest request's, and each costs a comparison.
const MAX_SIGNATURES: usize = 64;

/// As Standard Webhooks' libraries have it.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// The secret of an endpoint, as the server shows it. Debug does not, and its memory is wiped on drop.
#[derive(Clone)]
pub struct Secret {
    text: Zeroizing<String>,
    /// The key of `webhook-signature`.
    standard_key: Zeroizing<Vec<u8>>,
}

/// A text that is no secret. It does not show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSecret {
    /// Anybody could sign with it.
    #[error("the secret is empty")]
    Empty,
    /// It begins with `whsec_`, and what follows is no base64 of a key.
    #[error("the secret begins with whsec_, but standard base64 with padding must follow")]
    NotBase64,
}

impl Secret {
    /// Reads a secret: `whsec_` and base64, or a text of one's own.
    ///
    /// # Errors
    ///
    /// The text is empty, or is not what `whsec_` says.
    pub fn new(text: impl Into<String>) -> Result<Secret, InvalidSecret> {
        let text = Zeroizing::new(text.into());
        let standard_key = match text.strip_prefix(STANDARD_PREFIX) {
            Some(base64) => {
                // The vector never grows, because growing would leave a copy of the key in memory.
                let mut key = Zeroizing::new(Vec::with_capacity(base64.len()));
                STANDARD.decode_vec(base64, &mut key).map_err(|_| InvalidSecret::NotBase64)?;
                key
            }
            None => Zeroizing::new(text.as_bytes().to_vec()),
        };
        match standard_key.is_empty() {
            true => Err(InvalidSecret::Empty),
            false => Ok(Secret { text, standard_key }),
        }
    }

    /// The signature of a body alone, keyed with the text.
    fn of_body(&self, body: &[u8]) -> HmacSha256 {
        keyed(self.text.as_bytes()).chain_update(body)
    }

    /// The signature of Standard Webhooks, keyed with the decoded secret.
    fn of_message(&self, id: &[u8], timestamp: &[u8], body: &[u8]) -> HmacSha256 {
        let parts = [id, b".", timestamp, b".", body];
        parts.into_iter().fold(keyed(&self.standard_key), |hmac, part| hmac.chain_update(part))
    }
}

fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes keys of any length")
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A header of a request: a pair of its name and its value, each a text or bytes, or a reference to such a
/// pair.
pub trait Header: pairs::Sealed {
    /// Its name, in any case.
    fn name(&self) -> &[u8];

    /// Its value.
    fn value(&self) -> &[u8];
}

mod pairs {
    /// Nothing else is a header, so that the trait can grow.
    pub trait Sealed {}

    impl<N, V> Sealed for (N, V) {}
    impl<N, V> Sealed for &(N, V) {}
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> Header for (N, V) {
    fn name(&self) -> &[u8] {
        self.0.as_ref()
    }

    fn value(&self) -> &[u8] {
        self.1.as_ref()
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> Header for &(N, V) {
    fn name(&self) -> &[u8] {
        self.0.as_ref()
    }

    fn value(&self) -> &[u8] {
        self.1.as_ref()
    }
}

/// Why a request is not accepted. Answer it with 400 or 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A header is absent or empty.
    #[error("the header {0} is missing")]
    MissingHeader(&'static str),
    /// A header cannot be what the server sends, or there are several of it.
    #[error("the header {0} is malformed")]
    MalformedHeader(&'static str),
    /// None of the secrets made any of the signatures, or the body is another one.
    #[error("the signature does not match: another secret, or a body that was changed")]
    BadSignature,
    /// It was signed longer ago than the tolerance allows.
    #[error("the request was signed too long ago: it was recorded, or a clock is wrong")]
    TimestampTooOld,
    /// It was signed further in the future than the tolerance allows.
    #[error("the request was signed in the future: a clock is wrong")]
    TimestampTooNew,
}

/// Verifies requests with the secrets of an endpoint.
#[derive(Clone, Debug)]
pub struct Verifier {
    secrets: Vec<Secret>,
    tolerance: Duration,
}

impl Verifier {
    /// A verifier with one secret, as the server shows it.
    ///
    /// # Errors
    ///
    /// The text is no secret.
    pub fn new(secret: impl Into<String>) -> Result<Verifier, InvalidSecret> {
        Ok(Verifier::of([Secret::new(secret)?]))
    }

    /// A verifier with several secrets, each of which suffices: the old and the new one while a secret is
    /// being replaced.
    pub fn of(secrets: impl IntoIterator<Item = Secret>) -> Verifier {
        Verifier { secrets: secrets.into_iter().collect(), tolerance: TOLERANCE }
    }

    /// How far the time of the attempt may be from this machine's clock, in whole seconds. Default: 5
    /// minutes.
    #[must_use]
    pub fn tolerance(mut self, tolerance: Duration) -> Verifier {
        self.tolerance = tolerance;
        self
    }

    /// Verifies that a request is signed by Standard Webhooks' headers, about now.
    ///
    /// # Errors
    ///
    /// The request is not to be trusted, for the first reason in the order of [`VerifyError`].
    pub fn verify(
        &self,
        headers: impl IntoIterator<Item: Header>,
        body: &[u8],
    ) -> Result<(), VerifyError> {
        self.verify_at(headers, body, SystemTime::now())
    }

    /// The same at another time than now.
    ///
    /// # Errors
    ///
    /// Those of [`verify`](Self::verify).
    pub fn verify_at(
        &self,
        headers: impl IntoIterator<Item: Header>,
        body: &[u8],
        now: SystemTime,
    ) -> Result<(), VerifyError> {
        let [id, timestamp, signatures] = find([ID, TIMESTAMP, SIGNATURE], headers);
        let (id, timestamp) = (id.required()?, timestamp.required()?);
        let signatures = signatures.required()?;

        let id = id.single()?;
        // With a dot in it, the same signature would fit another time and body.
        if !id.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'.') {
            return Err(VerifyError::MalformedHeader(ID));
        }
        let timestamp = timestamp.single()?;
        let signed_at = seconds(timestamp).ok_or(VerifyError::MalformedHeader(TIMESTAMP))?;
        let tags = tags(signatures.single()?).ok_or(VerifyError::MalformedHeader(SIGNATURE))?;

        let signs = |secret: &Secret| {
            let hmac = secret.of_message(id, timestamp, body);
            tags.iter().any(|tag| hmac.clone().verify_slice(tag).is_ok())
        };
        if !self.secrets.iter().any(signs) {
            return Err(VerifyError::BadSignature);
        }
        let now = seconds_of(now);
        let tolerance = i64::try_from(self.tolerance.as_secs()).unwrap_or(i64::MAX);
        match now.saturating_sub(signed_at) {
            age if age > tolerance => Err(VerifyError::TimestampTooOld),
            age if age < tolerance.saturating_neg() => Err(VerifyError::TimestampTooNew),
            _ => Ok(()),
        }
    }

    /// Verifies that a body is signed by `X-Keeptrusts-Signature`, or by
    /// `X-Keeptrusts-Signature-Previous`, which is there while a secret is being replaced. These say nothing
    /// of time: anybody who has recorded the request can send it again.
    ///
    /// # Errors
    ///
    /// The body is not to be trusted.
    pub fn verify_body(
        &self,
        headers: impl IntoIterator<Item: Header>,
        body: &[u8],
    ) -> Result<(), VerifyError> {
        let found = find([BODY_SIGNATURE, PREVIOUS_BODY_SIGNATURE], headers);
        if found.iter().all(Found::is_missing) {
            return Err(VerifyError::MissingHeader(BODY_SIGNATURE));
        }
        let tags: Vec<_> =
            found.iter().filter_map(|header| hex_tag(header.single().ok()?)).collect();
        if tags.is_empty() {
            return Err(VerifyError::MalformedHeader(BODY_SIGNATURE));
        }
        let signs = |secret: &Secret| {
            let hmac = secret.of_body(body);
            tags.iter().any(|tag| hmac.clone().verify_slice(tag).is_ok())
        };
        match self.secrets.iter().any(signs) {
            true => Ok(()),
            false => Err(VerifyError::BadSignature),
        }
    }
}

/// What the headers have of one name.
struct Found {
    name: &'static str,
    /// None: none.
    value: Option<Vec<u8>>,
    is_repeated: bool,
}

impl Found {
    fn is_missing(&self) -> bool {
        self.value.as_ref().is_none_or(Vec::is_empty)
    }

    fn required(self) -> Result<Found, VerifyError> {
        match self.is_missing() {
            true => Err(VerifyError::MissingHeader(self.name)),
            false => Ok(self),
        }
    }

    /// Its value, of which there must be one: which of several counts, others may decide otherwise.
    fn single(&self) -> Result<&[u8], VerifyError> {
        match &self.value {
            Some(value) if !self.is_repeated => Ok(value),
            _ => Err(VerifyError::MalformedHeader(self.name)),
        }
    }
}

/// Finds headers by their names in any case (RFC 9110 section 5.1).
fn find<const COUNT: usize>(
    names: [&'static str; COUNT],
    headers: impl IntoIterator<Item: Header>,
) -> [Found; COUNT] {
    let mut found = names.map(|name| Found { name, value: None, is_repeated: false });
    for header in headers {
        let name = header.name();
        if let Some(found) =
            found.iter_mut().find(|found| found.name.as_bytes().eq_ignore_ascii_case(name))
        {
            found.is_repeated = found.value.is_some();
            found.value = Some(header.value().to_vec());
        }
    }
    found
}

/// A time in seconds since the Unix epoch: 1 to 12 digits.
fn seconds(text: &[u8]) -> Option<i64> {
    let is_one = (1..=MAX_TIMESTAMP_DIGITS).contains(&text.len());
    let digits = text.iter().map(|byte| byte.is_ascii_digit().then(|| i64::from(byte - b'0')));
    is_one.then_some(())?;
    digits.into_iter().try_fold(0, |seconds, digit| Some(seconds * 10 + digit?))
}

fn seconds_of(time: SystemTime) -> i64 {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => seconds(since),
        Err(before) => -seconds(before.duration()),
    }
}

/// The signatures of `webhook-signature` that can be read. Others are those of other versions. None: there
/// is none.
fn tags(header: &[u8]) -> Option<Vec<[u8; TAG_BYTES]>> {
    let entries = header.split(|byte| *byte == b' ');
    let tags: Vec<_> = entries.filter_map(standard_tag).take(MAX_SIGNATURES).collect();
    (!tags.is_empty()).then_some(tags)
}

/// `v1,` and the base64 of 32 bytes: 43 characters and one of padding.
fn standard_tag(entry: &[u8]) -> Option<[u8; TAG_BYTES]> {
    let base64 = entry.strip_prefix(b"v1,")?;
    let digits = base64.strip_suffix(b"=")?;
    if digits.len() != 43
        || !digits.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte))
    {
        return None;
    }
    // Stray bits behind the last byte: not what any secret makes. Nor are zeros, but by a chance of 2^-256.
    let decoded = STANDARD.decode(base64).ok().and_then(|bytes| bytes.try_into().ok());
    Some(decoded.unwrap_or([0; TAG_BYTES]))
}

/// `sha256=` and 64 hex digits.
fn hex_tag(header: &[u8]) -> Option<[u8; TAG_BYTES]> {
    let mut tag = [0; TAG_BYTES];
    hex::decode_to_slice(header.strip_prefix(b"sha256=")?, &mut tag).ok()?;
    Some(tag)
}

/// The headers of signatures as the server sends them, to test a receiver. `previous` is the old secret
/// while it is being replaced, `id` the event's, `time` that of the attempt.
pub fn sign(
    secret: &Secret,
    previous: Option<&Secret>,
    id: &str,
    time: SystemTime,
    body: &[u8],
) -> Vec<(&'static str, String)> {
    let timestamp = seconds_of(time).to_string();
    let of_body = |secret: &Secret| {
        format!("sha256={}", hex::encode(secret.of_body(body).finalize().into_bytes()))
    };
    let of_message = |secret: &Secret| {
        let hmac = secret.of_message(id.as_bytes(), timestamp.as_bytes(), body);
        format!("v1,{}", STANDARD.encode(hmac.finalize().into_bytes()))
    };
    let mut headers = vec![("x-keeptrusts-signature", of_body(secret))];
    let mut signatures = of_message(secret);
    if let Some(previous) = previous {
        headers.push(("x-keeptrusts-signature-previous", of_body(previous)));
        signatures = format!("{signatures} {}", of_message(previous));
    }
    headers.extend([
        ("webhook-id", id.to_owned()),
        ("webhook-signature", signatures),
        ("webhook-timestamp", timestamp),
    ]);
    headers
}
