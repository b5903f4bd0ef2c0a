//! Receives the whole body of a request before the request counts as running.

use std::cmp::Ordering;
use std::future::poll_fn;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::Full;
use keeptrusts_webhooks_contracts::{status, wire};
use tonic::Status;
use tonic::body::Body;

use super::compression::{Encoding, inflated, unreadable};
use super::message_size::{PREFIX_BYTES, too_large};
use super::methods::Method;
use super::request_body::RequestBody;
use super::request_pools::RequestMemory;

/// Reads a body to its end, inflates it, and checks the encoded message before anybody decodes it.
/// Memory is charged as the body grows. Returns the body for the service.
pub(super) async fn receive(
    body: RequestBody,
    method: Option<&Method>,
    encoding: Option<Encoding>,
    max_message_bytes: u32,
    memory: &mut RequestMemory,
) -> Result<Body, Status> {
    let bytes = read(body, max_message_bytes, memory).await?;
    if method.is_some() {
        check_framing(&bytes)?;
    }
    let bytes = inflated(bytes, encoding, max_message_bytes, memory)?;
    if let (Some(method), Some(message)) = (method, message(&bytes)) {
        let needed = wire::examine(&method.request, message);
        let needed = needed.map_err(|violation| status::invalid_argument(vec![violation]))?;
        // The encoded message stays in memory besides the decoded one.
        memory.grow(needed)?;
    }
    Ok(Body::new(Full::new(bytes)))
}

async fn read(
    mut body: RequestBody,
    max_message_bytes: u32,
    memory: &mut RequestMemory,
) -> Result<Bytes, Status> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    let mut length = 0_usize;
    let max_bytes = max_message_bytes as usize + PREFIX_BYTES;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame?.into_data() else { continue };
        length += data.len();
        if length > max_bytes {
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            return Err(too_large(length, max_message_bytes));
        }
        memory.grow(data.len())?;
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            // There is more than one frame: from here on they are copied together.
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Refuses a body that is not exactly one message. tonic would decode further messages, which are
/// not checked here, and would answer INTERNAL to a body that ends early.
fn check_framing(body: &[u8]) -> Result<(), Status> {
    let Some(([flag, length @ ..], rest)) = body.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(unreadable("there is no message"));
    };
    if *flag > 1 {
        return Err(unreadable("its first byte must be 0, or 1 if it is compressed"));
    }
    match rest.len().cmp(&(u32::from_be_bytes(*length) as usize)) {
        Ordering::Less => Err(unreadable("it ends before its message does")),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(unreadable("there is more than one message")),
    }
}

/// The message without its prefix, if it is complete and not compressed.
fn message(body: &[u8]) -> Option<&[u8]> {
    let (prefix, rest) = body.split_first_chunk::<PREFIX_BYTES>()?;
    let [0, length @ ..] = *prefix else { return None };
    rest.get(..u32::from_be_bytes(length) as usize)
}
