//! Parameters and JSON in the issuer's messages.

use std::collections::HashMap;

use serde_json::Value;

use crate::receiver::Reply;

pub(super) fn json_reply(status: u16, document: &Value) -> Reply {
    let reply = Reply::status(status).with_header("content-type", "application/json");
    reply.with_body(document.to_string())
}

/// The parameters of a query or of a form.
pub(super) fn parameters(text: &[u8]) -> HashMap<String, String> {
    form_urlencoded::parse(text).into_owned().collect()
}
