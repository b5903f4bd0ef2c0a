//! Sums up the violations of a request, so that the status is short enough for clients.
//!
//! A status is sent in trailers, for which clients allow 8 KiB by default, base64 and percent encoding
//! included. A client that gets more reports an error of its own instead. A request can have thousands of
//! violations, and quotes of it can be long.

use keeptrusts_webhooks_domain::violation::Violation;
use tonic_types::FieldViolation;

/// All fields, reasons and descriptions together, in bytes. Fields and descriptions are sent three times:
/// in the message, where a byte beyond ASCII becomes three, and in the details in base64, which contain
/// the message again.
const MAX_TOTAL_BYTES: usize = 1_200;
/// A single field's path, in bytes.
const MAX_FIELD_BYTES: usize = 200;
/// A single description, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 300;

/// The message of the status, and the violations that fit.
pub(super) fn summarize(violations: &[Violation]) -> (String, Vec<FieldViolation>) {
    let mut total = 0;
    let kept: Vec<_> = violations
        .iter()
        .map(|violation| {
            let field = shortened(&violation.field, MAX_FIELD_BYTES);
            let description = shortened(&violation.description, MAX_DESCRIPTION_BYTES);
            let reason = violation.reason.name().to_owned();
            FieldViolation { reason, ..FieldViolation::new(field, description) }
        })
        .take_while(|violation| {
            total += violation.field.len() + violation.reason.len() + violation.description.len();
            total <= MAX_TOTAL_BYTES
        })
        .collect();
    let list: Vec<_> =
        kept.iter().map(|wrong| format!("{} ({})", wrong.field, wrong.description)).collect();
    let fields = if violations.len() == 1 { "field" } else { "fields" };
    let mut message = format!("correct the {fields} {}", list.join(", "));
    let omitted = violations.len() - kept.len();
    if omitted > 0 {
        message.push_str(&format!(", and {omitted} more"));
    }
    (message, kept)
}

fn shortened(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max_bytes - '…'.len_utf8());
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_field_makes_a_short_sentence() {
        let (message, _) = summarize(&[Violation::required("name", "is required")]);
        assert_eq!(message, "correct the field name (is required)");
    }

    #[test]
    fn thousands_of_wrong_fields_still_fit_into_the_trailers() {
        let wrong =
            |index| Violation::unknown_value(format!("event_types[{index}]"), "é".repeat(10_000));
        let violations: Vec<_> = (0..5_000).map(wrong).collect();
        let status = crate::status::invalid_argument(violations);
        assert!(status.message().ends_with(", and 4997 more"), "{}", status.message());
        let mut headers = http::HeaderMap::new();
        status.add_header(&mut headers).expect("headers");
        let size: usize =
            headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        assert!(size < 8 * 1024, "{size} bytes");
    }

    #[test]
    fn a_shortened_text_is_cut_between_characters() {
        assert_eq!(shortened("ééé", 6), "ééé");
        assert_eq!(shortened("éééé", 6), "é…");
    }
}
