//! The form of a channel: what was typed, and the channel that it describes.

use std::collections::BTreeSet;

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::channel::Destination;

use crate::confidential::Confidential;
use crate::fields::Fields;
use crate::view::channel::{KINDS, TYPES, destination};

/// The values of the fields. It never contains secrets that the channel has.
#[derive(Default)]
pub(crate) struct ChannelForm {
    /// None: the channel is to be created.
    pub(crate) id: Option<String>,
    pub(crate) etag: String,
    pub(crate) kind: String,
    pub(crate) kind_name: &'static str,
    /// What may be shown of the channel's current destination.
    pub(crate) current_address: String,
    pub(crate) name: String,
    /// For Slack and Teams, whoever knows it can post there.
    pub(crate) url: Confidential,
    pub(crate) routing_key: Confidential,
    pub(crate) region: String,
    pub(crate) secret: Confidential,
    /// One address in each line.
    pub(crate) recipients: String,
    /// One id in each line. Empty: all endpoints.
    pub(crate) endpoints: String,
    subscriptions: BTreeSet<String>,
}

/// A type of notification with its checkbox.
pub(crate) struct TypeBox {
    pub(crate) value: &'static str,
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) is_selected: bool,
}

impl ChannelForm {
    /// A new form with every type but the summary selected. None: there is no such kind.
    pub(crate) fn new(kind: &str) -> Option<ChannelForm> {
        let (kind, kind_name) = *KINDS.iter().find(|(value, _)| *value == kind)?;
        let all = TYPES.iter().map(|(kind, ..)| *kind);
        let chosen = all.filter(|kind| *kind != v1::NotificationType::WeeklySummary);
        Some(ChannelForm {
            kind: kind.to_owned(),
            kind_name,
            subscriptions: chosen.map(|kind| kind.as_str_name().to_owned()).collect(),
            ..ChannelForm::default()
        })
    }

    /// Reads a form. None: its kind is unknown.
    pub(crate) fn read(fields: &Fields, id: Option<&str>) -> Option<ChannelForm> {
        let form = ChannelForm::new(fields.get("kind"))?;
        let trimmed = |name: &str| fields.get(name).trim().to_owned();
        Some(ChannelForm {
            id: id.map(str::to_owned),
            etag: fields.get("etag").to_owned(),
            current_address: fields.get("current_address").to_owned(),
            name: fields.get("display_name").to_owned(),
            url: trimmed("url").into(),
            routing_key: trimmed("routing_key").into(),
            region: fields.get("region").to_owned(),
            secret: fields.get("secret").to_owned().into(),
            recipients: fields.lines("recipients"),
            endpoints: fields.lines("endpoint_ids"),
            subscriptions: fields.all("subscriptions").map(str::to_owned).collect(),
            ..form
        })
    }

    /// A form for an existing channel.
    pub(crate) fn of(channel: &v1::Channel) -> ChannelForm {
        let (kind, current_address) = destination(channel.destination.as_ref());
        let mut form = ChannelForm::new(kind).unwrap_or_default();
        form.id = Some(channel.id.clone());
        form.etag.clone_from(&channel.etag);
        form.current_address = current_address;
        form.name.clone_from(&channel.display_name);
        form.endpoints = channel.endpoint_ids.join("\n");
        let types = channel.subscriptions();
        form.subscriptions = types.map(|kind| kind.as_str_name().to_owned()).collect();
        match &channel.destination {
            Some(Destination::Webhook(webhook)) => form.url = webhook.url.clone().into(),
            Some(Destination::Pagerduty(pager_duty)) => {
                form.url = pager_duty.url.clone().into();
                let is_eu = pager_duty.region() == v1::PagerDutyRegion::Eu;
                form.region = if is_eu { "eu" } else { "us" }.to_owned();
            }
            Some(Destination::Email(email)) => form.recipients = email.recipients.join("\n"),
            _ => {}
        }
        form
    }

    pub(crate) fn types(&self) -> Vec<TypeBox> {
        let boxes = TYPES.iter().map(|(kind, name, description)| TypeBox {
            value: kind.as_str_name(),
            name,
            description,
            is_selected: self.subscriptions.contains(kind.as_str_name()),
        });
        boxes.collect()
    }

    pub(crate) fn is_new(&self) -> bool {
        self.id.is_none()
    }

    /// The channel that the form describes. The services check it.
    pub(crate) fn channel(&self) -> v1::Channel {
        let known = TYPES.iter().map(|(kind, ..)| *kind);
        let chosen = known.filter(|kind| self.subscriptions.contains(kind.as_str_name()));
        v1::Channel {
            id: self.id.clone().unwrap_or_default(),
            etag: self.etag.clone(),
            display_name: self.name.clone(),
            destination: self.destination(),
            subscriptions: chosen.map(Into::into).collect(),
            endpoint_ids: lines(&self.endpoints),
            ..Default::default()
        }
    }

    /// None: the destination stays as it is, because its secret was not typed again.
    fn destination(&self) -> Option<Destination> {
        let url = self.url.expose().to_owned();
        let is_kept = !self.is_new() && url.is_empty();
        Some(match self.kind.as_str() {
            "slack" | "teams" if is_kept => return None,
            "slack" => Destination::Slack(v1::SlackDestination { url, ..Default::default() }),
            "teams" => Destination::Teams(v1::TeamsDestination { url, ..Default::default() }),
            "pagerduty" => {
                let region = match self.region.as_str() {
                    "eu" => v1::PagerDutyRegion::Eu,
                    _ => v1::PagerDutyRegion::Us,
                };
                Destination::Pagerduty(v1::PagerDutyDestination {
                    routing_key: self.routing_key.expose().to_owned(),
                    region: region.into(),
                    url,
                })
            }
            "webhook" => {
                let secret = self.secret.expose().to_owned();
                Destination::Webhook(v1::WebhookDestination { url, secret })
            }
            _ => Destination::Email(v1::EmailDestination { recipients: lines(&self.recipients) }),
        })
    }
}

/// Separated by line ends or commas.
fn lines(text: &str) -> Vec<String> {
    let parts = text.split(['\n', ',']).map(str::trim).filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_the_channel_that_it_means() {
        let fields = Fields::parse(
            b"kind=email&name=ops&recipients=a%40b.c%0D%0Ad%40e.f%2C+g%40h.i&subscriptions=NOTIFICATION_TYPE_WEEKLY_SUMMARY",
        );
        let form = ChannelForm::read(&fields, None).expect("a kind");
        let channel = form.channel();
        assert_eq!(channel.subscriptions, [i32::from(v1::NotificationType::WeeklySummary)]);
        let recipients = ["a@b.c", "d@e.f", "g@h.i"].map(str::to_owned).to_vec();
        let email = Destination::Email(v1::EmailDestination { recipients });
        assert_eq!(channel.destination, Some(email));
        assert!(ChannelForm::read(&Fields::parse(b"kind=pigeon"), None).is_none());
    }

    #[test]
    fn a_secret_that_is_not_typed_anew_stays() {
        let fields = Fields::parse(b"kind=slack&name=ops&url=");
        let edited = ChannelForm::read(&fields, Some("chn_1")).expect("a kind");
        assert_eq!(edited.channel().destination, None);
        let new = ChannelForm::read(&fields, None).expect("a kind");
        assert!(new.channel().destination.is_some(), "the service says what is missing");
    }

    #[test]
    fn a_form_shows_no_secret_of_the_channel() {
        let slack = v1::SlackDestination {
            url: "https://hooks.slack.com/secret".to_owned(),
            address: "https://hooks.slack.com".to_owned(),
        };
        let channel =
            v1::Channel { destination: Some(Destination::Slack(slack)), ..Default::default() };
        let form = ChannelForm::of(&channel);
        assert_eq!(
            (form.url.expose(), form.current_address.as_str()),
            ("", "https://hooks.slack.com")
        );
    }
}
