//! Encodes and decodes the values that several facts have.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::event::ContentDigest;
use keeptrusts_webhooks_domain::secret::SealedSecret;
use keeptrusts_webhooks_domain::trace::TraceContext;

use super::error::DecodeError;
use crate::log::v1 as pb;
use crate::time::{duration_from_proto, timestamp_from_proto};

pub(super) fn wrong(field: &'static str, problem: impl Display) -> DecodeError {
    DecodeError::Field { field, problem: problem.to_string() }
}

/// The value of a field that every record has.
pub(super) fn required<T>(field: &'static str, value: Option<T>) -> Result<T, DecodeError> {
    value.ok_or_else(|| wrong(field, "is missing"))
}

/// A value that is stored as text, such as an id or an event type.
pub(super) fn parsed<T>(field: &'static str, text: &str) -> Result<T, DecodeError>
where
    T: FromStr<Err: Display>,
{
    text.parse().map_err(|error| wrong(field, error))
}

pub(super) fn all_parsed<T>(field: &'static str, texts: &[String]) -> Result<Vec<T>, DecodeError>
where
    T: FromStr<Err: Display>,
{
    texts.iter().map(|text| parsed(field, text)).collect()
}

pub(super) fn timestamp(
    field: &'static str,
    value: Option<prost_types::Timestamp>,
) -> Result<Timestamp, DecodeError> {
    let value = required(field, value)?;
    timestamp_from_proto(&value).ok_or_else(|| wrong(field, "is out of range"))
}

pub(super) fn optional_timestamp(
    field: &'static str,
    value: Option<prost_types::Timestamp>,
) -> Result<Option<Timestamp>, DecodeError> {
    value.map(|value| timestamp(field, Some(value))).transpose()
}

/// The trace context of `traceparent` and `tracestate`. None if `traceparent` is empty.
pub(super) fn trace(
    traceparent: &str,
    tracestate: &str,
) -> Result<Option<TraceContext>, DecodeError> {
    if traceparent.is_empty() {
        return Ok(None);
    }
    let state = match tracestate {
        "" => None,
        text => Some(parsed("tracestate", text)?),
    };
    let trace: TraceContext = parsed("traceparent", traceparent)?;
    Ok(Some(trace.with_state(state)))
}

pub(super) fn traceparent(trace: Option<&TraceContext>) -> String {
    trace.map(ToString::to_string).unwrap_or_default()
}

pub(super) fn tracestate(trace: Option<&TraceContext>) -> String {
    let state = trace.and_then(|trace| trace.state.as_ref());
    state.map(|state| state.as_str().to_owned()).unwrap_or_default()
}

pub(super) fn duration(
    field: &'static str,
    value: Option<prost_types::Duration>,
) -> Result<Duration, DecodeError> {
    let value = required(field, value)?;
    duration_from_proto(&value).ok_or_else(|| wrong(field, "is out of range"))
}

/// A number that must not be negative, and must fit into the smaller type.
pub(super) fn unsigned<T, U>(field: &'static str, value: T) -> Result<U, DecodeError>
where
    U: TryFrom<T>,
{
    value.try_into().map_err(|_| wrong(field, "is out of range"))
}

/// The protobuf form of a count, which stays far below 2³¹.
pub(super) fn count(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// Exactly N bytes.
pub(super) fn exactly<const N: usize>(
    field: &'static str,
    bytes: Vec<u8>,
) -> Result<[u8; N], DecodeError> {
    bytes.try_into().map_err(|bytes: Vec<u8>| {
        wrong(field, format_args!("has {} bytes instead of {N}", bytes.len()))
    })
}

pub(super) fn digest(
    field: &'static str,
    value: Option<pb::ContentDigest>,
) -> Result<ContentDigest, DecodeError> {
    let pb::ContentDigest { sha256, size } = required(field, value)?;
    Ok(ContentDigest { sha256: exactly(field, sha256)?, size: unsigned(field, size)? })
}

impl From<ContentDigest> for pb::ContentDigest {
    fn from(digest: ContentDigest) -> Self {
        pb::ContentDigest { sha256: digest.sha256.to_vec(), size: digest.size.into() }
    }
}

impl From<&SealedSecret> for pb::SealedSecret {
    fn from(secret: &SealedSecret) -> Self {
        pb::SealedSecret {
            key_id: secret.key_id.clone(),
            nonce: secret.nonce.to_vec(),
            ciphertext: secret.ciphertext.clone(),
        }
    }
}

impl TryFrom<pb::SealedSecret> for SealedSecret {
    type Error = DecodeError;

    fn try_from(message: pb::SealedSecret) -> Result<Self, DecodeError> {
        let pb::SealedSecret { key_id, nonce, ciphertext } = message;
        Ok(SealedSecret { key_id, nonce: exactly("nonce", nonce)?, ciphertext })
    }
}
