//! The checked requests of NotificationService.

use keeptrusts_webhooks_domain::channel::{ChannelKind, check_recipients, check_subscriptions};
use keeptrusts_webhooks_domain::endpoint::check_url;
use keeptrusts_webhooks_domain::ids::{ChannelId, NotificationId, OrganizationId};
use keeptrusts_webhooks_domain::notification::{NotificationState, NotificationType};
use keeptrusts_webhooks_domain::payload_format::RoutingKey;
use keeptrusts_webhooks_domain::secret::Secret;
use keeptrusts_webhooks_domain::violation::{EntryViolations, Violation};

use super::fields::{enums, id, ids, known_enum, optional_enum};
use super::notification::PAGER_DUTY;
use super::{Page, SortedPage, Violations};
use crate::v1;
use crate::v1::channel::Destination as Message;

mod config;

pub use config::{CreateChannel, UpdateChannel};

/// The path of the endpoints that a channel is limited to.
pub const CHANNEL_ENDPOINT_IDS: &str = "channel.endpoint_ids";

const SLACK_URL: &str = "channel.slack.url";
const TEAMS_URL: &str = "channel.teams.url";
const PAGER_DUTY_ROUTING_KEY: &str = "channel.pagerduty.routing_key";
const WEBHOOK_SECRET: &str = "channel.webhook.secret";

/// The path of a channel's secret in requests, by kind. Empty: the kind has no secret.
pub const fn channel_secret_field(kind: ChannelKind) -> &'static str {
    match kind {
        ChannelKind::Slack => SLACK_URL,
        ChannelKind::Teams => TEAMS_URL,
        ChannelKind::PagerDuty => PAGER_DUTY_ROUTING_KEY,
        ChannelKind::Webhook => WEBHOOK_SECRET,
        ChannelKind::Email => "",
    }
}

/// The new destination of a channel, with its secret in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDestination {
    /// The kind of service.
    pub kind: ChannelKind,
    /// What may be shown.
    pub address: String,
    /// What may not be shown. None: there is no secret, or the stored one stays.
    pub secret: Option<Secret>,
}

/// Whether a request must give the secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrets {
    AreRequired,
    MayStay,
}

/// The fields of the oneof `destination`, each with its kind.
const DESTINATIONS: [(&str, ChannelKind); 5] = [
    ("slack", ChannelKind::Slack),
    ("teams", ChannelKind::Teams),
    ("pagerduty", ChannelKind::PagerDuty),
    ("webhook", ChannelKind::Webhook),
    ("email", ChannelKind::Email),
];

/// The path of a destination in requests, by its kind.
pub const fn channel_destination_field(kind: ChannelKind) -> &'static str {
    match kind {
        ChannelKind::Slack => "channel.slack",
        ChannelKind::Teams => "channel.teams",
        ChannelKind::PagerDuty => "channel.pagerduty",
        ChannelKind::Webhook => "channel.webhook",
        ChannelKind::Email => "channel.email",
    }
}

fn kind_of(destination: &Message) -> ChannelKind {
    match destination {
        Message::Slack(_) => ChannelKind::Slack,
        Message::Teams(_) => ChannelKind::Teams,
        Message::Pagerduty(_) => ChannelKind::PagerDuty,
        Message::Webhook(_) => ChannelKind::Webhook,
        Message::Email(_) => ChannelKind::Email,
    }
}

fn destination(
    destination: Option<Message>,
    secrets: Secrets,
) -> Result<NewDestination, Vec<Violation>> {
    let one = |violation| vec![violation];
    let Some(destination) = destination else {
        let description = "is required: one of slack, teams, pagerduty, webhook and email";
        return Err(one(Violation::required("channel.destination", description)));
    };
    match destination {
        Message::Slack(slack) => secret_url(ChannelKind::Slack, SLACK_URL, &slack.url).map_err(one),
        Message::Teams(teams) => secret_url(ChannelKind::Teams, TEAMS_URL, &teams.url).map_err(one),
        Message::Pagerduty(pager_duty) => self::pager_duty(pager_duty, secrets),
        Message::Webhook(webhook) => {
            let address = check_url("channel.webhook.url", &webhook.url);
            let secret = secret(WEBHOOK_SECRET, webhook.secret, secrets, Secret::new);
            both(address, secret, ChannelKind::Webhook)
        }
        Message::Email(email) => {
            let recipients = check_recipients("channel.email.recipients", &email.recipients)?;
            let address = recipients.join(",");
            Ok(NewDestination { kind: ChannelKind::Email, address, secret: None })
        }
    }
}

/// A URL that is a secret, because everybody who knows it can post to it. Only scheme and host are shown.
fn secret_url(kind: ChannelKind, field: &str, url: &str) -> Result<NewDestination, Violation> {
    let url = check_url(field, url)?;
    let end = url.find("://").map_or(0, |at| at + 3);
    let length = url[end..].find('/').unwrap_or(url.len() - end);
    let address = url[..end + length].to_owned();
    Ok(NewDestination { kind, address, secret: Some(Secret::opened(url)) })
}

fn pager_duty(
    message: v1::PagerDutyDestination,
    secrets: Secrets,
) -> Result<NewDestination, Vec<Violation>> {
    let region = known_enum::<v1::PagerDutyRegion>("channel.pagerduty.region", message.region);
    let address = region.and_then(|region| match message.url.as_str() {
        "" => {
            let known = PAGER_DUTY.iter().find(|(candidate, _)| *candidate == region);
            Ok(known.unwrap_or(&PAGER_DUTY[0]).1.to_owned())
        }
        url => check_url("channel.pagerduty.url", url),
    });
    let secret = secret(PAGER_DUTY_ROUTING_KEY, message.routing_key, secrets, routing_key);
    both(address, secret, ChannelKind::PagerDuty)
}

fn routing_key(text: String) -> Result<Secret, Violation> {
    let key = RoutingKey::new("routing_key", text).map_err(|_| {
        let description = "is not an integration key of 32 letters and digits: copy it from the service's Integrations tab";
        Violation::invalid_format("routing_key", description)
    });
    key.map(|key| key.secret().clone())
}

fn secret(
    field: &str,
    text: String,
    secrets: Secrets,
    check: impl FnOnce(String) -> Result<Secret, Violation>,
) -> Result<Option<Secret>, Violation> {
    match (text.is_empty(), secrets) {
        (true, Secrets::MayStay) => Ok(None),
        (true, Secrets::AreRequired) => Err(Violation::required(field, "is required")),
        (false, _) => {
            let checked = check(text);
            checked.map(Some).map_err(|violation| violation.of_field(field))
        }
    }
}

fn both(
    address: Result<String, Violation>,
    secret: Result<Option<Secret>, Violation>,
    kind: ChannelKind,
) -> Result<NewDestination, Vec<Violation>> {
    match (address, secret) {
        (Ok(address), Ok(secret)) => Ok(NewDestination { kind, address, secret }),
        (address, secret) => Err(address.err().into_iter().chain(secret.err()).collect()),
    }
}

fn subscriptions(field: &str, numbers: &[i32]) -> Result<Vec<NotificationType>, Vec<Violation>> {
    let mut types = Vec::new();
    let mut wrong = EntryViolations::of(field);
    for (index, number) in numbers.iter().enumerate() {
        match optional_enum::<v1::NotificationType, _>(field, *number) {
            Ok(Some(kind)) => types.push(kind),
            Ok(None) => wrong
                .push(index, |entry| Violation::unknown_value(entry, "must not be unspecified")),
            Err(violation) => wrong.push(index, |entry| violation.of_field(entry)),
        }
    }
    check_subscriptions(field, wrong.into_result(types)?)
}

/// One channel of an organization: the request of GetChannel and TestChannel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRef {
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// The channel.
    pub channel_id: ChannelId,
}

impl ChannelRef {
    fn new(organization_id: &str, channel_id: &str) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(organization_id.parse());
        let channel_id = violations.check(id("channel_id", channel_id));
        match (organization_id, channel_id) {
            (Some(organization_id), Some(channel_id)) => {
                Ok(ChannelRef { organization_id, channel_id })
            }
            _ => Err(violations),
        }
    }
}

impl TryFrom<v1::GetChannelRequest> for ChannelRef {
    type Error = Violations;

    fn try_from(request: v1::GetChannelRequest) -> Result<Self, Violations> {
        ChannelRef::new(&request.organization_id, &request.channel_id)
    }
}

impl TryFrom<v1::TestChannelRequest> for ChannelRef {
    type Error = Violations;

    fn try_from(request: v1::TestChannelRequest) -> Result<Self, Violations> {
        ChannelRef::new(&request.organization_id, &request.channel_id)
    }
}

/// DeleteChannel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteChannel {
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// The channel.
    pub channel_id: ChannelId,
    /// If set, the request is refused unless this is the current etag.
    pub etag: Option<String>,
    /// Whether the request succeeds if there is no such channel.
    pub allow_missing: bool,
}

impl TryFrom<v1::DeleteChannelRequest> for DeleteChannel {
    type Error = Violations;

    fn try_from(request: v1::DeleteChannelRequest) -> Result<Self, Violations> {
        let ChannelRef { organization_id, channel_id } =
            ChannelRef::new(&request.organization_id, &request.channel_id)?;
        let etag = (!request.etag.is_empty()).then_some(request.etag);
        let allow_missing = request.allow_missing;
        Ok(DeleteChannel { organization_id, channel_id, etag, allow_missing })
    }
}

/// ListChannels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListChannels {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The part of the list.
    pub page: SortedPage<ChannelId>,
}

impl TryFrom<v1::ListChannelsRequest> for ListChannels {
    type Error = Violations;

    fn try_from(request: v1::ListChannelsRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let page = SortedPage::of::<v1::Channel>(&request, &request.order_by, ChannelId::MAX);
        match (organization_id, violations.check_all(page)) {
            (Some(organization_id), Some(page)) => Ok(ListChannels { organization_id, page }),
            _ => Err(violations),
        }
    }
}

/// One notification of an organization: the request of GetNotification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationRef {
    /// The organization that owns it.
    pub organization_id: OrganizationId,
    /// The notification.
    pub notification_id: NotificationId,
}

impl TryFrom<v1::GetNotificationRequest> for NotificationRef {
    type Error = Violations;

    fn try_from(request: v1::GetNotificationRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let notification_id = violations.check(id("notification_id", &request.notification_id));
        match (organization_id, notification_id) {
            (Some(organization_id), Some(notification_id)) => {
                Ok(NotificationRef { organization_id, notification_id })
            }
            _ => Err(violations),
        }
    }
}

/// ListNotifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListNotifications {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The part of the list.
    pub page: Page<NotificationId>,
    /// Only to one of these channels. Empty: all.
    pub channel_ids: Vec<ChannelId>,
    /// Only in one of these states. Empty: all.
    pub states: Vec<NotificationState>,
}

impl TryFrom<v1::ListNotificationsRequest> for ListNotifications {
    type Error = Violations;

    fn try_from(request: v1::ListNotificationsRequest) -> Result<Self, Violations> {
        let mut violations = Violations::default();
        let organization_id = violations.check(request.organization_id.parse());
        let page = Page::of(&request, NotificationId::MAX);
        let page = violations.check_all(page);
        let channel_ids = violations.check_all(ids("channel_ids", &request.channel_ids));
        let states =
            violations.check_all(enums::<v1::notification::State, _>("states", &request.states));
        match (organization_id, page, channel_ids, states) {
            (Some(organization_id), Some(page), Some(channel_ids), Some(states)) => {
                Ok(ListNotifications { organization_id, page, channel_ids, states })
            }
            _ => Err(violations),
        }
    }
}
