use keeptrusts_webhooks_contracts::api::{
    ChannelRef, CreateChannel, ListNotifications, UpdateChannel,
};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::channel::Destination;
use keeptrusts_webhooks_domain::channel::ChannelKind;
use keeptrusts_webhooks_domain::ids::ChannelId;
use keeptrusts_webhooks_domain::notification::NotificationType;
use prost_types::FieldMask;

use crate::{endpoint_id, wrong_fields};

const ROUTING_KEY: &str = "0123456789abcdef0123456789ABCDEF";

fn create(destination: Destination) -> v1::CreateChannelRequest {
    v1::CreateChannelRequest {
        organization_id: "default".to_owned(),
        channel: Some(v1::Channel {
            display_name: "on call".to_owned(),
            destination: Some(destination),
            subscriptions: vec![
                v1::NotificationType::WeeklySummary.into(),
                v1::NotificationType::DeliveryExhausted.into(),
            ],
            endpoint_ids: vec![endpoint_id().to_string()],
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn slack(url: &str) -> Destination {
    Destination::Slack(v1::SlackDestination { url: url.to_owned(), ..Default::default() })
}

fn pager_duty(key: &str, region: i32, url: &str) -> Destination {
    let (routing_key, url) = (key.to_owned(), url.to_owned());
    Destination::Pagerduty(v1::PagerDutyDestination { routing_key, region, url })
}

fn webhook(url: &str, secret: &str) -> Destination {
    let (url, secret) = (url.to_owned(), secret.to_owned());
    Destination::Webhook(v1::WebhookDestination { url, secret })
}

#[test]
fn only_the_host_of_a_secret_url_is_shown() {
    for (url, address) in [
        ("https://hooks.slack.com/services/T/B/x", "https://hooks.slack.com"),
        ("https://hooks.example:8443/?sig=x", "https://hooks.example:8443"),
        ("https://hooks.example?sig=x", "https://hooks.example"),
    ] {
        let created = CreateChannel::try_from(create(slack(url))).expect("right");
        assert_eq!(created.config.destination.address, address);
        let secret = created.config.destination.secret.expect("a secret");
        assert!(secret.expose().starts_with(address) && secret.expose().ends_with('x'));
        let types = [NotificationType::DeliveryExhausted, NotificationType::WeeklySummary];
        assert_eq!(created.config.subscriptions, types);
        assert_eq!(created.config.endpoint_ids, [endpoint_id()]);
    }
}

#[test]
fn the_region_of_pager_duty_decides_the_url() {
    let address = |region: i32, url: &str| {
        let created = CreateChannel::try_from(create(pager_duty(ROUTING_KEY, region, url)));
        created.expect("right").config.destination.address
    };
    assert_eq!(address(0, ""), "https://events.pagerduty.com/v2/enqueue");
    assert_eq!(address(2, ""), "https://events.eu.pagerduty.com/v2/enqueue");
    assert_eq!(address(2, "https://proxy.example/x"), "https://proxy.example/x");
}

#[test]
fn every_invalid_field_of_a_destination_is_named() {
    let wrong = |destination| wrong_fields(CreateChannel::try_from(create(destination)));
    assert_eq!(wrong(slack("http://hooks.slack.com/x")), ["channel.slack.url"]);
    assert_eq!(
        wrong(pager_duty("short", 9, "")),
        ["channel.pagerduty.region", "channel.pagerduty.routing_key"]
    );
    let fields = ["channel.webhook.url", "channel.webhook.secret"];
    assert_eq!(wrong(webhook("", "")), fields);
    assert_eq!(wrong(webhook("x", "short")), fields);
    let copied = webhook("https://hooks.example/", "correct horse battery\n");
    assert_eq!(wrong(copied), ["channel.webhook.secret"]);
    let recipients = vec!["a@b.c".to_owned(), "nobody".to_owned()];
    let email = Destination::Email(v1::EmailDestination { recipients });
    assert_eq!(wrong(email), ["channel.email.recipients[1]"]);
    let nothing = v1::CreateChannelRequest::default();
    let fields =
        ["organization_id", "channel.display_name", "channel.destination", "channel.subscriptions"];
    assert_eq!(wrong_fields(CreateChannel::try_from(nothing)), fields);
    let mut test = create(slack("https://hooks.example/"));
    if let Some(channel) = &mut test.channel {
        channel.subscriptions = vec![v1::NotificationType::Test.into(), 99];
    }
    assert_eq!(wrong_fields(CreateChannel::try_from(test)), ["channel.subscriptions[1]"]);
}

fn update(destination: Option<Destination>, paths: &[&str]) -> v1::UpdateChannelRequest {
    let mask = FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() };
    v1::UpdateChannelRequest {
        organization_id: "default".to_owned(),
        channel: Some(v1::Channel {
            id: ChannelId::MIN.to_string(),
            display_name: "new".to_owned(),
            destination,
            ..Default::default()
        }),
        update_mask: (!paths.is_empty()).then_some(mask),
        ..Default::default()
    }
}

#[test]
fn an_update_changes_the_fields_of_its_mask_and_keeps_a_secret_that_is_not_given() {
    let moved = webhook("https://new.example/", "");
    let implied = UpdateChannel::try_from(update(Some(moved.clone()), &[])).expect("right");
    assert_eq!(
        (implied.patch.display_name.as_deref(), implied.patch.subscriptions),
        (Some("new"), None)
    );
    let destination = implied.patch.destination.expect("given");
    assert_eq!((destination.kind, destination.secret), (ChannelKind::Webhook, None));
    let named =
        UpdateChannel::try_from(update(Some(moved.clone()), &["display_name"])).expect("right");
    assert_eq!(named.patch.destination, None);
    // All but the destination: what has no value is wrong.
    let all = wrong_fields(UpdateChannel::try_from(update(Some(moved), &["*"])));
    assert_eq!(all, ["channel.subscriptions"]);
    for both in [["webhook", "*"], ["*", "webhook"]] {
        let mut request = update(Some(webhook("https://new.example/", "")), &both);
        if let Some(channel) = &mut request.channel {
            channel.subscriptions = vec![v1::NotificationType::EndpointDegraded.into()];
        }
        let updated = UpdateChannel::try_from(request).expect("right");
        assert!(
            updated.patch.destination.is_some() && updated.patch.endpoint_ids.is_some(),
            "{both:?}"
        );
    }
    let unknown = wrong_fields(UpdateChannel::try_from(update(None, &["status"])));
    assert_eq!(unknown, ["update_mask.paths[0]"]);
    // The URL of a Slack channel is all that there is of it. One that is sent back as it was read keeps
    // its URL.
    let named = UpdateChannel::try_from(update(Some(slack("")), &["slack"])).expect("it stays");
    assert_eq!(named.patch.destination, None);
    let read = UpdateChannel::try_from(update(Some(slack("")), &[])).expect("right");
    assert_eq!(read.patch.destination, None);
}

#[test]
fn a_mask_names_the_field_of_the_destination_that_is_given() {
    let moved = || Some(webhook("https://new.example/", ""));
    let named = |paths: &[&str]| UpdateChannel::try_from(update(moved(), paths));
    let destination = named(&["webhook"]).expect("right").patch.destination.expect("named");
    assert_eq!(destination.address, "https://new.example/");
    // Nothing is said about another kind, and a mask cannot clear a destination.
    assert_eq!(wrong_fields(named(&["slack"])), ["channel.slack"]);
    assert_eq!(wrong_fields(named(&["webhook", "email"])), ["channel.email"]);
    let nothing = UpdateChannel::try_from(update(None, &["teams"]));
    assert_eq!(wrong_fields(nothing), ["channel.teams"]);
    for (path, words) in [
        ("destination", "\"destination\" cannot be updated; display_name, "),
        ("webhook.url", "\"webhook.url\" is a part of webhook, which is updated as a whole"),
    ] {
        let refused = named(&[path]).expect_err("no such path").into_vec();
        assert!(refused[0].description.starts_with(words), "{refused:?}");
    }
}

#[test]
fn an_update_may_say_what_to_create() {
    let right = || v1::UpdateChannelRequest {
        channel: Some(v1::Channel {
            id: "chn_01K7ZK5W1T9Q4N3V8R2M6X0YBC".to_owned(),
            subscriptions: vec![1],
            ..update(Some(slack("https://hooks.slack.com/x")), &[]).channel.expect("a channel")
        }),
        allow_missing: true,
        ..update(None, &[])
    };
    let checked = UpdateChannel::try_from(right()).expect("right");
    let creation = checked.creation.expect("allowed").expect("right");
    assert_eq!(creation.channel_id, Some(checked.channel_id));
    let refused =
        UpdateChannel::try_from(v1::UpdateChannelRequest { allow_missing: false, ..right() });
    assert_eq!(refused.expect("right").creation, None);
    let without_secret = v1::UpdateChannelRequest {
        channel: Some(v1::Channel {
            destination: Some(webhook("https://hooks.example/", "")),
            ..right().channel.expect("a channel")
        }),
        ..right()
    };
    let creation = UpdateChannel::try_from(without_secret).expect("right as an update").creation;
    assert_eq!(wrong_fields(creation.expect("allowed")), ["channel.webhook.secret"]);
    let least = UpdateChannel::try_from(v1::UpdateChannelRequest {
        channel: Some(v1::Channel {
            id: ChannelId::MIN.to_string(),
            ..right().channel.expect("a channel")
        }),
        ..right()
    });
    let creation = least.expect("right as an update").creation.expect("allowed");
    assert_eq!(wrong_fields(creation), ["channel.id"]);
}

#[test]
fn a_channel_is_named_by_its_id() {
    let request = |channel_id: &str| v1::GetChannelRequest {
        organization_id: "default".to_owned(),
        channel_id: channel_id.to_owned(),
    };
    let right = ChannelRef::try_from(request(&ChannelId::MAX.to_string())).expect("right");
    assert_eq!(right.channel_id, ChannelId::MAX);
    let wrong = ChannelRef::try_from(request(&endpoint_id().to_string()));
    assert_eq!(wrong_fields(wrong), ["channel_id"]);
    let list = v1::ListNotificationsRequest {
        organization_id: "default".to_owned(),
        channel_ids: vec!["chn_1".to_owned()],
        page_size: -1,
        ..Default::default()
    };
    let wrong = wrong_fields(ListNotifications::try_from(list));
    assert_eq!(wrong, ["page_size", "channel_ids[0]"]);
}
