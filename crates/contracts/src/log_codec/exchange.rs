//! Encodes and decodes an attempt's exchange, as the table of bodies holds it.

use keeptrusts_webhooks_domain::attempt::HttpExchange;
use prost::Message;

use super::error::DecodeError;
use crate::log::v1 as pb;

/// Encodes an exchange as an AttemptExchange message.
pub fn encode_exchange(exchange: &HttpExchange) -> Vec<u8> {
    let headers = |headers: &[(String, Vec<u8>)]| {
        let message = |(name, value): &(String, Vec<u8>)| pb::Header {
            name: name.clone(),
            value: value.clone(),
        };
        headers.iter().map(message).collect()
    };
    let message = pb::AttemptExchange {
        request_headers: headers(&exchange.request_headers),
        response_headers: headers(&exchange.response_headers),
        response_body: exchange.response_body.clone(),
        request_body: exchange.request_body.clone(),
    };
    message.encode_to_vec()
}

/// Decodes an AttemptExchange message.
pub fn decode_exchange(bytes: &[u8]) -> Result<HttpExchange, DecodeError> {
    let message = pb::AttemptExchange::decode(bytes)?;
    let headers = |headers: Vec<pb::Header>| {
        headers.into_iter().map(|header| (header.name, header.value)).collect()
    };
    Ok(HttpExchange {
        request_headers: headers(message.request_headers),
        response_headers: headers(message.response_headers),
        response_body: message.response_body,
        request_body: message.request_body,
    })
}
