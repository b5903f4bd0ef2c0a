//! The content of an e-mail. Its sender adds headers and encodings.

use keeptrusts_webhooks_domain::visible_text::with_blanks_for_hidden;
use keeptrusts_webhooks_vendors::Truncator;

use crate::message::{Message, NotificationContext};

/// RFC 5322 section 2.1.1 allows lines of 998 characters, but no mail client shows more of a subject
/// than this.
const MAX_SUBJECT: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Addresses that were checked.
    pub recipients: Vec<String>,
    pub subject: String,
    pub text: String,
    /// The part of the Message-ID before the `@`. The same at each attempt, so that mail clients
    /// recognise a duplicate.
    pub message_id: String,
}

/// `address` has the channel's recipients, separated by commas.
pub fn mail(context: &NotificationContext<'_>, address: &str) -> Mail {
    let message = Message::of(context);
    // Names have no line ends. If one ever had, it could not add a header.
    let title = with_blanks_for_hidden(&message.title);
    let text = format!(
        "{}\n-- \nSent by Keeptrusts Webhooks to the notification channel {}.\n",
        message.plain_text(),
        context.channel_name
    );
    Mail {
        recipients: address.split(',').map(str::to_owned).collect(),
        subject: Truncator::to(MAX_SUBJECT).truncate(&format!("[Keeptrusts Webhooks] {title}")),
        text,
        message_id: context.notification.id.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use keeptrusts_webhooks_domain::ids::EndpointId;
    use keeptrusts_webhooks_domain::notification::NotificationType;

    use super::*;
    use crate::message::tests::{notification, with_telling};

    #[test]
    fn a_subject_is_one_line_whatever_the_endpoints_name_is() {
        let notification = notification(NotificationType::EndpointDegraded);
        let names =
            HashMap::from([(EndpointId::MIN, "siem\r\nBcc: everybody@example.com".to_owned())]);
        let context = NotificationContext {
            notification: &notification,
            channel_name: "on call",
            endpoint_names: &names,
            endpoint_state: None,
            console_url: None,
        };
        let mail = mail(&context, "a@example.com,b@example.com");
        assert!(!mail.subject.contains(['\r', '\n']), "{:?}", mail.subject);
        assert_eq!(mail.recipients, ["a@example.com", "b@example.com"]);
        assert_eq!(mail.message_id, notification.id.to_string());
    }

    #[test]
    fn the_text_has_the_summary_and_the_channels_name() {
        let text = with_telling(NotificationType::WeeklySummary, |context| mail(context, "a@b.c"));
        assert!(text.text.contains("Delivered: 1000") && text.text.contains("on call"));
    }
}
