//! One realistic event of each of the sixteen types.

/// Event type and JSON data.
pub(super) const EVENTS: [(&str, &str); 16] = [
    (
        "policy.violation",
        r#"{"policy":"no-customer-data","severity":"high","model":"gpt-4o","user":"j.meyer@acme.example","rule":"pii.iban","request_id":"req_8f2c1a"}"#,
    ),
    (
        "policy.block",
        r#"{"policy":"no-source-code","model":"claude-sonnet","user":"build-agent-7","reason":"source code in prompt","request_id":"req_8f2c4d"}"#,
    ),
    (
        "policy.redaction",
        r#"{"policy":"mask-names","fields":["customer.name","customer.phone"],"count":2,"request_id":"req_8f2d02"}"#,
    ),
    (
        "escalation.created",
        r#"{"escalation":"esc_1042","policy":"credit-decisions","assigned_to":"risk-desk","expires_in_minutes":30}"#,
    ),
    (
        "escalation.resolved",
        r#"{"escalation":"esc_1042","decision":"approved","by":"a.ncube@acme.example","after_seconds":412}"#,
    ),
    (
        "escalation.expired",
        r#"{"escalation":"esc_1043","policy":"credit-decisions","waited_minutes":30}"#,
    ),
    (
        "config.updated",
        r#"{"config":"gateway-eu","version":88,"by":"s.ito@acme.example","changed":["limits.tokens_per_minute"]}"#,
    ),
    ("config.deployed", r#"{"config":"gateway-eu","version":88,"gateways":6,"took_seconds":4.1}"#),
    (
        "config.sync.failed",
        r#"{"config":"gateway-eu","version":88,"gateway":"gw-fra-3","error":"signature does not match"}"#,
    ),
    ("export.completed", r#"{"export":"exp_311","kind":"audit","rows":1204882,"bytes":73400320}"#),
    ("export.failed", r#"{"export":"exp_312","kind":"audit","error":"bucket is read-only"}"#),
    ("gateway.connected", r#"{"gateway":"gw-fra-3","region":"eu-central-1","version":"2.14.0"}"#),
    (
        "gateway.disconnected",
        r#"{"gateway":"gw-fra-3","last_seen_seconds":31,"reason":"keep-alive"}"#,
    ),
    (
        "key.rotated",
        r#"{"key":"key_77","owner":"gateway-eu","by":"rotation-policy","valid_days":90}"#,
    ),
    (
        "key.revoked",
        r#"{"key":"key_52","owner":"contractor-3","by":"s.ito@acme.example","reason":"left"}"#,
    ),
    (
        "user.invited",
        r#"{"user":"m.costa@acme.example","role":"viewer","by":"s.ito@acme.example"}"#,
    ),
];
