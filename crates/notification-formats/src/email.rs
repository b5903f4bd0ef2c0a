//! E-mail: what it says. Whoever sends it makes headers and encodings of it.

use keeptrusts_webhooks_vendors::Truncator;

use crate::message::{Message, NotificationContext};

/// RFC 5322 section 2.1.1 allows lines of 998 characters; a subject of more characters than
/// these is shown by nobody.
const MAX_SUBJECT: usize = 200;

/// A mail to an organization's people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// To whom; addresses that were checked.
    pub recipients: Vec<String>,
    /// In one line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// What is before the `@` of its Message-ID. The same at each attempt, so that whoever is sent
    /// it twice can see that it is one.
    pub message_id: String,
}

/// The mail to the recipients of a channel, whose addresses are separated by commas.
pub fn mail(context: &NotificationContext<'_>, address: &str) -> Mail {
    let message = Message::of(context);
    // A name has no line ends. If one ever had, the header would still end here.
    let title: String =
        message.title.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
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
    fn a_subject_is_one_line_whatever_an_endpoint_is_called() {
        let notification = notification(NotificationType::EndpointDegraded);
        let names =
            HashMap::from([(EndpointId::MIN, "siem\r\nBcc: everybody@example.com".to_owned())]);
        let context = NotificationContext {
            notification: &notification,
            channel_name: "on call",
            endpoint_names: &names,
            endpoint_status: None,
            console_url: None,
        };
        let mail = mail(&context, "a@example.com,b@example.com");
        assert!(!mail.subject.contains(['\r', '\n']), "{:?}", mail.subject);
        assert_eq!(mail.recipients, ["a@example.com", "b@example.com"]);
        assert_eq!(mail.message_id, notification.id.to_string());
    }

    #[test]
    fn the_text_says_everything() {
        let text = with_telling(NotificationType::WeeklySummary, |context| mail(context, "a@b.c"));
        assert!(text.text.contains("Delivered: 1000") && text.text.contains("on call"));
    }
}
