//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>, the attributes, and the
//! HTTP binding's section 3.2, structured mode.

use keeptrusts_webhooks_domain::Timestamp;

pub(crate) fn check(body: &[u8], content_type: &str) {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct CloudEvent<'a> {
        specversion: &'a str,
        id: &'a str,
        source: &'a str,
        r#type: &'a str,
        time: &'a str,
        datacontenttype: &'a str,
        #[serde(borrow)]
        data: &'a serde_json::value::RawValue,
    }
    assert_eq!(content_type, "application/cloudevents+json; charset=utf-8");
    let event: CloudEvent<'_> = serde_json::from_slice(body).expect("a CloudEvent");
    assert_eq!(event.specversion, "1.0");
    assert!(!event.id.is_empty());
    // A URI with a scheme, and only characters that RFC 3986 leaves as they are.
    assert!(event.source.starts_with("https://"), "{}", event.source);
    assert!(
        event.source.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte))
    );
    assert!(event.r#type.starts_with("com.keeptrusts."), "{}", event.r#type);
    event.time.parse::<Timestamp>().expect("RFC 3339");
    assert_eq!(event.time.len(), "2026-04-23T10:30:00.000000Z".len(), "{}", event.time);
    assert_eq!(event.datacontenttype, "application/json");
    assert!(event.data.get().starts_with('{'));
}
