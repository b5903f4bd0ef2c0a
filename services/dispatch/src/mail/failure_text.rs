//! Explains why a mail was not accepted.
//!
//! The mail server is the operator's. Its text may reveal its network, its software, its policies
//! and the operator's accounts there, and goes only to the operator's log. The channel's owner is
//! told what can be done.

use std::error::Error as _;

use keeptrusts_webhooks_domain::visible_text::with_blanks_for_hidden;

use super::transport::SmtpFailure;

const UNREACHABLE: &str =
    "the mail server cannot be reached: this server's operators find the cause in their log";
const NOT_ENCRYPTED: &str = "there is no encrypted connection to the mail server: this server's operators find the cause in their log";
const TOO_SLOW: &str = "the mail server did not answer in time";
const NOT_ADMITTED: &str =
    "the mail server does not admit this server: its operators find the cause in their log";
const RECIPIENT: &str = "the mail server refuses a recipient: check the channel's addresses; if they are right, this server's operators find the cause in their log";
const RECIPIENT_FOR_NOW: &str = "the mail server does not take mail for a recipient now";
const MESSAGE: &str =
    "the mail server refuses the message: this server's operators find the cause in their log";
const NOT_NOW: &str = "the mail server does not take the message now";

/// For the channel's owner.
pub(super) fn for_customers(failure: &SmtpFailure) -> &'static str {
    if let Some(code) = failure.status() {
        return of_code(code);
    }
    match failure {
        SmtpFailure::ConnectingTimedOut | SmtpFailure::SendingTimedOut => TOO_SLOW,
        SmtpFailure::NoStartTls | SmtpFailure::NotTrusted(_) | SmtpFailure::Tls(_) => NOT_ENCRYPTED,
        SmtpFailure::Smtp(error) if error.is_timeout() => TOO_SLOW,
        SmtpFailure::NotConnected(_) | SmtpFailure::Smtp(_) => UNREACHABLE,
    }
}

/// By the reply codes of RFC 5321 section 4.2.3 and RFC 4954 section 6 (authentication).
fn of_code(code: u16) -> &'static str {
    match code {
        432 | 454 | 500..=504 | 521 | 523 | 524 | 530 | 534 | 535 | 538 => NOT_ADMITTED,
        450 | 452 => RECIPIENT_FOR_NOW,
        550 | 551 | 553 | 556 => RECIPIENT,
        400..500 => NOT_NOW,
        _ => MESSAGE,
    }
}

/// For the operator's log: the error with all its causes. It shows no password: replies are the
/// server's, and credentials go only to the server.
pub(super) fn for_operators(error: &SmtpFailure) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text.push_str(&format!(": {part}"));
        }
        cause = error.source();
    }
    with_blanks_for_hidden(&text).chars().take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_code_becomes_advice() {
        for (codes, words) in [
            (&[421, 451][..], NOT_NOW),
            (&[450, 452], RECIPIENT_FOR_NOW),
            (&[550, 551, 553], RECIPIENT),
            (&[552, 554, 599], MESSAGE),
            (&[454, 530, 535], NOT_ADMITTED),
        ] {
            for code in codes {
                assert_eq!(of_code(*code), words, "{code}");
            }
        }
    }
}
