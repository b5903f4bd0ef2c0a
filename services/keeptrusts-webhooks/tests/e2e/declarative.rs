//! Endpoints and channels with ids that their callers made: updates that create what is missing, as
//! declarative tools repeat them, requests that are only checked, and organizations that choose the same
//! ids.

use std::collections::BTreeSet;

use keeptrusts_webhooks_contracts::client::{AuthorizedChannel, Bearer};
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::AuditAction;
use keeptrusts_webhooks_contracts::v1::audit_service_client::AuditServiceClient;
use keeptrusts_webhooks_contracts::v1::channel::Destination;
use keeptrusts_webhooks_contracts::v1::notification_service_client::NotificationServiceClient;
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_testkit::first_key::FIRST_KEY;
use keeptrusts_webhooks_testkit::receiver::{Receiver, Reply, Script};
use prost_types::FieldMask;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::chaos::check_tables;
use crate::platform::{
    Backend, Client, Database, PATIENCE, Server, assert_refused, channel, on_both_backends,
};

on_both_backends! {
    what_is_applied_again_changes_nothing,
    concurrent_creations_and_upserts_of_one_id_make_one,
    a_request_that_is_only_checked_leaves_nothing_behind,
    a_request_that_is_only_checked_is_answered_as_the_real_one,
    of_creations_at_once_as_many_succeed_as_the_limit_allows,
    another_organizations_id_is_neither_told_of_nor_touched,
    the_time_in_a_callers_id_means_nothing,
}

const ULID: &str = "01K7ZK5W1T9Q4N3V8R2M6X0YBC";
/// The number of shards of a Postgres database.
const SHARDS: u16 = 16;
const URL: &str = "https://receiver.example/";
const SECRET: &str = "correct horse battery staple";

#[derive(Clone)]
struct Organization {
    client: Client,
    channels: NotificationServiceClient<AuthorizedChannel>,
    audit: AuditServiceClient<AuthorizedChannel>,
}

impl Organization {
    fn new(server: &Server, id: &str) -> Organization {
        let bearer = Bearer::new(FIRST_KEY).expect("a token");
        let channels = NotificationServiceClient::new(bearer.clone().on(channel(server.address())));
        let audit = AuditServiceClient::new(bearer.on(channel(server.address())));
        Organization { client: server.client(id), channels, audit }
    }

    async fn apply(&self, endpoint: &v1::Endpoint) -> Result<v1::Endpoint, Status> {
        let request = v1::UpdateEndpointRequest {
            organization_id: self.client.organization(),
            endpoint: Some(endpoint.clone()),
            allow_missing: true,
            ..Default::default()
        };
        let applied = self.client.endpoints().update_endpoint(request).await?;
        Ok(applied.into_inner().endpoint.expect("an endpoint"))
    }

    async fn create(&self, id: &str, endpoint: &v1::Endpoint) -> Result<v1::Endpoint, Status> {
        let request = v1::CreateEndpointRequest {
            organization_id: self.client.organization(),
            endpoint: Some(endpoint.clone()),
            endpoint_id: id.to_owned(),
            ..Default::default()
        };
        let created = self.client.endpoints().create_endpoint(request).await?;
        Ok(created.into_inner().endpoint.expect("an endpoint"))
    }

    async fn delete(&self, id: &str, allow_missing: bool) -> Result<(), Status> {
        let request = v1::DeleteEndpointRequest {
            organization_id: self.client.organization(),
            endpoint_id: id.to_owned(),
            allow_missing,
            ..Default::default()
        };
        self.client.endpoints().delete_endpoint(request).await.map(|_| ())
    }

    async fn apply_channel(&self, channel: &v1::Channel) -> Result<v1::Channel, Status> {
        let request = v1::UpdateChannelRequest {
            organization_id: self.client.organization(),
            channel: Some(channel.clone()),
            allow_missing: true,
            ..Default::default()
        };
        let applied = self.channels.clone().update_channel(request).await?;
        Ok(applied.into_inner().channel.expect("a channel"))
    }

    async fn create_channel(&self, id: &str, channel: &v1::Channel) -> Result<v1::Channel, Status> {
        let request = v1::CreateChannelRequest {
            organization_id: self.client.organization(),
            channel: Some(channel.clone()),
            channel_id: id.to_owned(),
            ..Default::default()
        };
        let created = self.channels.clone().create_channel(request).await?;
        Ok(created.into_inner().channel.expect("a channel"))
    }

    async fn delete_channel(&self, id: &str, allow_missing: bool) -> Result<(), Status> {
        let request = v1::DeleteChannelRequest {
            organization_id: self.client.organization(),
            channel_id: id.to_owned(),
            allow_missing,
            ..Default::default()
        };
        self.channels.clone().delete_channel(request).await.map(|_| ())
    }

    async fn endpoints(&self, page_size: i32) -> Vec<String> {
        let (mut ids, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = v1::ListEndpointsRequest {
                organization_id: self.client.organization(),
                page_size,
                page_token,
                ..Default::default()
            };
            let page = self.client.endpoints().list_endpoints(request).await.expect("a list");
            let page = page.into_inner();
            ids.extend(page.endpoints.into_iter().map(|endpoint| endpoint.id));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return ids;
            }
        }
    }

    async fn channels(&self) -> Vec<String> {
        let organization_id = self.client.organization();
        let request = v1::ListChannelsRequest { organization_id, ..Default::default() };
        let list = self.channels.clone().list_channels(request).await.expect("a list");
        list.into_inner().channels.into_iter().map(|channel| channel.id).collect()
    }

    /// The actions of the audit trail, oldest first.
    async fn actions(&self) -> Vec<AuditAction> {
        let organization_id = self.client.organization();
        let request = v1::ListAuditEntriesRequest { organization_id, ..Default::default() };
        let trail = self.audit.clone().list_audit_entries(request).await.expect("the trail");
        trail.into_inner().entries.iter().rev().map(v1::AuditEntry::action).collect()
    }
}

fn endpoint() -> v1::Endpoint {
    v1::Endpoint {
        id: format!("ep_{ULID}"),
        display_name: "siem".to_owned(),
        url: URL.to_owned(),
        event_types: vec!["policy.violation".to_owned()],
        ..Default::default()
    }
}

fn webhook(url: &str, secret: &str) -> Option<Destination> {
    let (url, secret) = (url.to_owned(), secret.to_owned());
    Some(Destination::Webhook(v1::WebhookDestination { url, secret }))
}

fn channel_to(url: &str) -> v1::Channel {
    v1::Channel {
        id: format!("chn_{ULID}"),
        display_name: "on call".to_owned(),
        destination: webhook(url, SECRET),
        subscriptions: vec![v1::NotificationType::EndpointDegraded.into()],
        ..Default::default()
    }
}

#[track_caller]
fn assert_exists<T: std::fmt::Debug>(refused: Result<T, Status>, reason: &str, words: &str) {
    let status = refused.expect_err("it exists");
    assert_refused(&status, Code::AlreadyExists, reason);
    assert!(status.message().contains(words), "{status}");
}

async fn what_is_applied_again_changes_nothing(backend: Backend) {
    let database = Database::new(backend).await;
    let mut server = Server::all_in_one(&database).start().await;
    let acme = Organization::new(&server, "acme");
    // With everything that is a secret, which the applied file has each time.
    let wanted = v1::Endpoint {
        secret: SECRET.to_owned(),
        payload_format: v1::PayloadFormat::Pagerduty.into(),
        routing_key: "abcdef0123456789abcdef0123456789".to_owned(),
        ..endpoint()
    };
    let created = acme.apply(&wanted).await.expect("created");
    assert_eq!((created.id.as_str(), created.url.as_str()), (wanted.id.as_str(), URL));
    assert!(created.has_routing_key && created.secret.is_empty() && created.routing_key.is_empty());
    for _ in 0..2 {
        assert_eq!(acme.apply(&wanted).await.expect("applied"), created);
    }
    assert_eq!(acme.actions().await, [AuditAction::EndpointCreated]);
    let reveal = v1::RevealSecretRequest {
        organization_id: acme.client.organization(),
        endpoint_id: wanted.id.clone(),
    };
    let revealed = acme.client.endpoints().reveal_secret(reveal).await.expect("revealed");
    assert_eq!(revealed.into_inner().secret, SECRET);
    let changed = v1::Endpoint { description: "notes".to_owned(), ..wanted.clone() };
    let updated = acme.apply(&changed).await.expect("updated");
    assert_ne!((&updated.etag, updated.update_time), (&created.etag, created.update_time));
    assert_eq!(acme.apply(&changed).await.expect("applied"), updated);
    assert_exists(acme.create(&wanted.id, &wanted).await, "ENDPOINT_EXISTS", "already: update it");

    let wanted = v1::Channel { endpoint_ids: vec![created.id.clone(); 2], ..channel_to(URL) };
    let created = acme.apply_channel(&wanted).await.expect("created");
    for _ in 0..2 {
        assert_eq!(acme.apply_channel(&wanted).await.expect("applied"), created);
    }
    let moved = v1::Channel { destination: webhook("https://new.example/", ""), ..wanted.clone() };
    let updated = acme.apply_channel(&moved).await.expect("updated");
    assert_ne!(updated.etag, created.etag);
    assert_eq!(acme.apply_channel(&moved).await.expect("applied"), updated);
    let exists = acme.create_channel(&wanted.id, &wanted).await;
    assert_exists(exists, "CHANNEL_EXISTS", "already: update it");

    // What is gone stays gone, and deleting it again does nothing.
    for allow_missing in [false, true, true] {
        acme.delete(&endpoint().id, allow_missing).await.expect("deleted");
        acme.delete_channel(&wanted.id, allow_missing).await.expect("deleted");
    }
    acme.delete("ep_01ARZ3NDEKTSV4RRFFQ69G5FAV", true).await.expect("nothing to delete");
    let missing = acme.delete(&endpoint().id, false).await.expect_err("not found");
    assert_refused(&missing, Code::NotFound, "ENDPOINT_NOT_FOUND");
    let missing = acme.delete_channel(&wanted.id, false).await.expect_err("not found");
    assert_refused(&missing, Code::NotFound, "CHANNEL_NOT_FOUND");
    let words = "was deleted, and ids are not used again";
    assert_exists(acme.apply(&endpoint()).await, "ENDPOINT_EXISTS", words);
    assert_exists(acme.create(&endpoint().id, &endpoint()).await, "ENDPOINT_EXISTS", words);
    assert_exists(acme.apply_channel(&wanted).await, "CHANNEL_EXISTS", words);
    assert_exists(acme.create_channel(&wanted.id, &wanted).await, "CHANNEL_EXISTS", words);
    let expected = [
        AuditAction::EndpointCreated,
        AuditAction::SecretRevealed,
        AuditAction::EndpointUpdated,
        AuditAction::ChannelCreated,
        AuditAction::ChannelUpdated,
        AuditAction::EndpointDeleted,
        AuditAction::ChannelDeleted,
    ];
    assert_eq!(acme.actions().await, expected);

    // An etag is of something that was read.
    let id = "ep_01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned();
    let read = v1::Endpoint { id, etag: "\"1\"".to_owned(), ..endpoint() };
    let stale = acme.apply(&read).await.expect_err("there is nothing to update");
    assert_refused(&stale, Code::Aborted, "STALE_ETAG");
    // What is missing is named, in the update's fields.
    let nothing = acme.apply(&v1::Endpoint { id: read.id, ..Default::default() }).await;
    let nothing = nothing.expect_err("nothing is given");
    assert_refused(&nothing, Code::InvalidArgument, "INVALID_FIELD");
    assert!(nothing.message().contains("endpoint.display_name (is required"), "{nothing}");
    server.stop().await;
    check_tables(&database).await;
}

async fn concurrent_creations_and_upserts_of_one_id_make_one(backend: Backend) {
    const CALLERS: usize = 16;
    let database = Database::new(backend).await;
    let mut server = Server::all_in_one(&database).start().await;
    let acme = Organization::new(&server, "acme");
    let (mut upserts, mut channels, mut creations) =
        (JoinSet::new(), JoinSet::new(), JoinSet::new());
    for _ in 0..CALLERS {
        let acme = Organization::new(&server, "acme");
        upserts.spawn(async move { acme.apply(&endpoint()).await });
        let acme = Organization::new(&server, "acme");
        channels.spawn(async move { acme.apply_channel(&channel_to(URL)).await });
        let acme = Organization::new(&server, "acme");
        let id = "ep_01ARZ3NDEKTSV4RRFFQ69G5FAV";
        creations.spawn(async move { acme.create(id, &endpoint()).await });
    }
    let applied = upserts.join_all().await;
    let etags: BTreeSet<_> = applied.into_iter().map(|one| one.expect("applied").etag).collect();
    assert_eq!(etags.len(), 1, "{etags:?}");
    let applied = channels.join_all().await;
    let etags: BTreeSet<_> = applied.into_iter().map(|one| one.expect("applied").etag).collect();
    assert_eq!(etags.len(), 1, "{etags:?}");
    let (created, refused): (Vec<_>, Vec<_>) =
        creations.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((created.len(), refused.len()), (1, CALLERS - 1));
    refused.into_iter().for_each(|one| assert_exists(one, "ENDPOINT_EXISTS", "already"));

    assert_eq!((acme.endpoints(50).await.len(), acme.channels().await.len()), (2, 1));
    let mut actions = acme.actions().await;
    actions.sort_unstable();
    let created = AuditAction::EndpointCreated;
    assert_eq!(actions, [created, created, AuditAction::ChannelCreated]);
    server.stop().await;
    check_tables(&database).await;
}

async fn a_request_that_is_only_checked_leaves_nothing_behind(backend: Backend) {
    let database = Database::new(backend).await;
    let limit = ("--max-endpoints-per-organization", "1");
    let server = Server::all_in_one(&database).flag(limit.0, limit.1).start().await;
    let acme = Organization::new(&server, "acme");
    let create = async |endpoint: v1::Endpoint, endpoint_id: String| {
        let request = v1::CreateEndpointRequest {
            organization_id: acme.client.organization(),
            endpoint: Some(endpoint),
            endpoint_id,
            validate_only: true,
            ..Default::default()
        };
        acme.client.endpoints().create_endpoint(request).await.map(tonic::Response::into_inner)
    };
    let update = async |endpoint: v1::Endpoint, allow_missing| {
        let request = v1::UpdateEndpointRequest {
            organization_id: acme.client.organization(),
            endpoint: Some(endpoint),
            allow_missing,
            validate_only: true,
            ..Default::default()
        };
        let updated = acme.client.endpoints().update_endpoint(request).await?;
        Ok::<_, Status>(updated.into_inner().endpoint.expect("an endpoint"))
    };
    let with_secret = v1::Endpoint { secret: SECRET.to_owned(), ..endpoint() };
    let checked = create(with_secret.clone(), String::new()).await.expect("right");
    let secrets = (checked.secret.as_str(), checked.standard_webhooks_secret.as_str());
    assert_eq!(secrets, ("", ""));
    let checked = checked.endpoint.expect("an endpoint");
    assert_eq!((checked.id.as_str(), checked.url.as_str()), ("", URL));
    let named = create(with_secret.clone(), endpoint().id).await.expect("right").endpoint;
    assert_eq!(named.expect("an endpoint").id, endpoint().id);
    assert_eq!(update(with_secret.clone(), true).await.expect("right").id, endpoint().id);
    let missing = update(with_secret.clone(), false).await.expect_err("missing");
    assert_refused(&missing, Code::NotFound, "ENDPOINT_NOT_FOUND");
    let template = v1::Endpoint {
        payload_format: v1::PayloadFormat::Custom.into(),
        payload_template: "{{ data.policy / 2 }".to_owned(),
        ..endpoint()
    };
    for refused in [
        create(template.clone(), String::new()).await.map(|_| ()),
        update(template.clone(), true).await.map(|_| ()),
    ] {
        let refused = refused.expect_err("the template is wrong");
        assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD");
        assert!(refused.message().contains("endpoint.payload_template"), "{refused}");
    }
    let check_channel = async |channel: v1::Channel| {
        let request = v1::UpdateChannelRequest {
            organization_id: acme.client.organization(),
            channel: Some(channel),
            allow_missing: true,
            validate_only: true,
            ..Default::default()
        };
        let updated = acme.channels.clone().update_channel(request).await?;
        Ok::<_, Status>(updated.into_inner().channel.expect("a channel"))
    };
    let checked = check_channel(channel_to(URL)).await.expect("right");
    assert_eq!((checked.id, checked.destination), (channel_to(URL).id, webhook(URL, "")));
    let recipients = vec!["ops@example.com".to_owned()];
    let mail = Some(Destination::Email(v1::EmailDestination { recipients }));
    let no_mail = check_channel(v1::Channel { destination: mail, ..channel_to(URL) }).await;
    let no_mail = no_mail.expect_err("the server sends no mail");
    assert_refused(&no_mail, Code::FailedPrecondition, "MAIL_NOT_CONFIGURED");
    let foreign = vec!["ep_01ARZ3NDEKTSV4RRFFQ69G5FAV".to_owned()];
    let foreign = check_channel(v1::Channel { endpoint_ids: foreign, ..channel_to(URL) }).await;
    assert_refused(&foreign.expect_err("no endpoint"), Code::InvalidArgument, "INVALID_FIELD");

    assert_eq!(acme.endpoints(50).await, Vec::<String>::new());
    assert_eq!(acme.channels().await, Vec::<String>::new());
    assert_eq!(acme.actions().await, []);

    // The same for what is there.
    let created = acme.apply(&endpoint()).await.expect("created");
    let other = v1::Endpoint { url: "https://new.example/".to_owned(), ..with_secret };
    let checked = update(other.clone(), true).await.expect("right");
    assert_eq!(checked.url, other.url);
    assert_ne!(checked.etag, created.etag, "as it would be");
    let stale = v1::Endpoint { etag: "\"7\"".to_owned(), ..other };
    let stale = update(stale, true).await.expect_err("another etag");
    assert_refused(&stale, Code::Aborted, "STALE_ETAG");
    let exists = create(endpoint(), endpoint().id).await.map(|_| ());
    assert_exists(exists, "ENDPOINT_EXISTS", "already");
    let full = create(endpoint(), String::new()).await.expect_err("one is the limit");
    assert_refused(&full, Code::ResourceExhausted, "TOO_MANY_ENDPOINTS");
    assert_eq!(acme.client.endpoint(&created.id).await, created);
    assert_eq!(acme.actions().await, [AuditAction::EndpointCreated]);
}

async fn a_request_that_is_only_checked_is_answered_as_the_real_one(backend: Backend) {
    let database = Database::new(backend).await;
    let mut server = Server::all_in_one(&database).start().await;
    let acme = Organization::new(&server, "acme");
    acme.apply(&endpoint()).await.expect("created");
    acme.apply_channel(&channel_to(URL)).await.expect("created");

    // An id that another organization of the shard has.
    let neighbour = Organization::new(&server, &organization_on(true));
    let organization_id = || neighbour.client.organization();
    let create = |validate_only| v1::CreateEndpointRequest {
        organization_id: organization_id(),
        endpoint: Some(endpoint()),
        endpoint_id: endpoint().id,
        validate_only,
        ..Default::default()
    };
    let update = |validate_only| v1::UpdateEndpointRequest {
        organization_id: organization_id(),
        endpoint: Some(endpoint()),
        allow_missing: true,
        validate_only,
        ..Default::default()
    };
    let create_channel = |validate_only| v1::CreateChannelRequest {
        organization_id: organization_id(),
        channel: Some(channel_to(URL)),
        channel_id: channel_to(URL).id,
        validate_only,
        ..Default::default()
    };
    let update_channel = |validate_only| v1::UpdateChannelRequest {
        organization_id: organization_id(),
        channel: Some(channel_to(URL)),
        allow_missing: true,
        validate_only,
        ..Default::default()
    };
    let answers = async |validate_only| {
        let (mut endpoints, mut channels) =
            (neighbour.client.endpoints(), neighbour.channels.clone());
        [
            endpoints.create_endpoint(create(validate_only)).await.map(|_| ()),
            endpoints.update_endpoint(update(validate_only)).await.map(|_| ()),
            channels.create_channel(create_channel(validate_only)).await.map(|_| ()),
            channels.update_channel(update_channel(validate_only)).await.map(|_| ()),
        ]
        .map(|answer| {
            let status = answer.expect_err("the id is of no use");
            (status.code(), status.message().to_owned())
        })
    };
    let checked = answers(true).await;
    assert!(checked.iter().all(|(code, _)| *code == Code::AlreadyExists), "{checked:?}");
    assert_eq!(checked, answers(false).await);
    assert_eq!(neighbour.actions().await, []);

    // A request's id.
    let request = v1::CreateEndpointRequest {
        organization_id: acme.client.organization(),
        endpoint: Some(endpoint()),
        request_id: "r".to_owned(),
        ..Default::default()
    };
    let check = v1::CreateEndpointRequest { validate_only: true, ..request.clone() };
    let mut endpoints = acme.client.endpoints();
    let checked = endpoints.create_endpoint(check.clone()).await.expect("right").into_inner();
    assert!(!checked.duplicate);
    let created = endpoints.create_endpoint(request).await.expect("created").into_inner();
    assert!(!created.duplicate, "the check has not used the id");
    let before = acme.actions().await;
    let checked = endpoints.create_endpoint(check.clone()).await.expect("right").into_inner();
    assert_eq!((&checked.endpoint, checked.duplicate), (&created.endpoint, true));
    assert_eq!((checked.secret.as_str(), checked.standard_webhooks_secret.as_str()), ("", ""));
    let other = v1::Endpoint { display_name: "another".to_owned(), ..endpoint() };
    let other = v1::CreateEndpointRequest { endpoint: Some(other), ..check };
    let used = endpoints.create_endpoint(other).await.expect_err("the id is used");
    assert_refused(&used, Code::AlreadyExists, "REQUEST_ID_REUSED");
    let channel = v1::CreateChannelRequest {
        organization_id: acme.client.organization(),
        channel: Some(channel_to(URL)),
        request_id: "r".to_owned(),
        validate_only: true,
        ..Default::default()
    };
    let used = acme.channels.clone().create_channel(channel).await.expect_err("the id is used");
    assert_refused(&used, Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert_eq!(acme.actions().await, before, "no secret was shown");
    server.stop().await;
    check_tables(&database).await;
}

async fn of_creations_at_once_as_many_succeed_as_the_limit_allows(backend: Backend) {
    const MAX_ENDPOINTS: usize = 5;
    const MAX_CHANNELS: usize = 50;
    let database = Database::new(backend).await;
    let server = Server::all_in_one(&database);
    let server = server.flag("--max-endpoints-per-organization", &MAX_ENDPOINTS.to_string());
    let mut server = server.start().await;
    let acme = Organization::new(&server, "acme");
    let numbered = |prefix: &str, number: usize| format!("{prefix}_{number:0>26}");
    // Half of them are updates that create.
    let mut creations = JoinSet::new();
    for number in 0..4 * MAX_ENDPOINTS {
        let (acme, id) = (acme.clone(), numbered("ep", number));
        creations.spawn(async move {
            match number % 2 {
                0 => acme.create("", &endpoint()).await,
                _ => acme.apply(&v1::Endpoint { id, ..endpoint() }).await,
            }
        });
    }
    let refused = creations.join_all().await.into_iter().filter_map(Result::err);
    let refused: Vec<_> = refused.collect();
    assert_eq!(refused.len(), 3 * MAX_ENDPOINTS);
    for refused in refused {
        assert_refused(&refused, Code::ResourceExhausted, "TOO_MANY_ENDPOINTS");
    }
    assert_eq!(acme.endpoints(50).await.len(), MAX_ENDPOINTS);

    let mut creations = JoinSet::new();
    for number in 0..MAX_CHANNELS + 20 {
        let (acme, id) = (acme.clone(), numbered("chn", number));
        creations.spawn(async move {
            match number % 2 {
                0 => acme.create_channel("", &channel_to(URL)).await,
                _ => acme.apply_channel(&v1::Channel { id, ..channel_to(URL) }).await,
            }
        });
    }
    let refused = creations.join_all().await.into_iter().filter_map(Result::err);
    let refused: Vec<_> = refused.collect();
    assert_eq!(refused.len(), 20);
    for refused in refused {
        assert_refused(&refused, Code::ResourceExhausted, "TOO_MANY_CHANNELS");
    }
    assert_eq!(acme.channels().await.len(), MAX_CHANNELS);
    server.stop().await;
    check_tables(&database).await;
}

/// An organization on the same shard as `acme`, or on another one.
fn organization_on(same_shard: bool) -> String {
    let shard_of = |id: &str| {
        let organization: OrganizationId = id.parse().expect("an id");
        Shard::of(&organization, SHARDS)
    };
    let mut ids = (0..).map(|number| format!("globex-{number}"));
    ids.find(|id| (shard_of(id) == shard_of("acme")) == same_shard).expect("there are many")
}

async fn another_organizations_id_is_neither_told_of_nor_touched(backend: Backend) {
    let receiver = Receiver::start(Script::always(Reply::ok()));
    let database = Database::new(backend).await;
    let mut server = Server::all_in_one(&database).delivering_to(&receiver).start().await;
    let acme = Organization::new(&server, "acme");
    let ours = v1::Endpoint { url: receiver.url("/ours"), ..endpoint() };
    let ours = acme.apply(&ours).await.expect("created");
    let our_channel =
        acme.apply_channel(&channel_to(&receiver.url("/ours"))).await.expect("created");

    let neighbour = Organization::new(&server, &organization_on(true));
    let theirs = v1::Endpoint { url: receiver.url("/theirs"), ..endpoint() };
    let their_channel = channel_to(&receiver.url("/theirs"));
    for (refused, reason) in [
        (neighbour.apply(&theirs).await.map(|_| ()), "ENDPOINT_EXISTS"),
        (neighbour.create(&theirs.id, &theirs).await.map(|_| ()), "ENDPOINT_EXISTS"),
        (neighbour.apply_channel(&their_channel).await.map(|_| ()), "CHANNEL_EXISTS"),
        (
            neighbour.create_channel(&their_channel.id, &their_channel).await.map(|_| ()),
            "CHANNEL_EXISTS",
        ),
    ] {
        let status = refused.expect_err("the id is of no use");
        assert_refused(&status, Code::AlreadyExists, reason);
        assert!(status.message().contains("make a new id"), "{status}");
        let info = status.get_details_error_info().expect("an ErrorInfo");
        let told = format!("{} {:?}", status.message(), info.metadata);
        assert!(!told.contains("acme") && !told.contains("organization"), "{told}");
    }
    assert_eq!(neighbour.endpoints(50).await, Vec::<String>::new());
    assert_eq!(neighbour.channels().await, Vec::<String>::new());
    assert_eq!(neighbour.actions().await, []);
    neighbour.delete(&ours.id, true).await.expect("nothing of its own");
    neighbour.delete_channel(&our_channel.id, true).await.expect("nothing of its own");

    // On another shard the id is free, and its other owner's. On SQLite there is one shard.
    if backend == Backend::Postgres {
        let stranger = Organization::new(&server, &organization_on(false));
        stranger.apply(&theirs).await.expect("created");
        stranger.apply_channel(&their_channel).await.expect("created");
        let (one, other) = (acme.client.clone(), stranger.client.clone());
        let events = [
            one.publish("policy.violation", r#"{"of": "ours"}"#).await,
            other.publish("policy.violation", r#"{"of": "theirs"}"#).await,
        ];
        for (client, event) in [(&one, &events[0]), (&other, &events[1])] {
            client.wait_for_state(event, v1::delivery::State::Delivered).await;
        }
        let disable = v1::DisableEndpointRequest {
            organization_id: other.organization(),
            endpoint_id: theirs.id.clone(),
            reason: "maintenance".to_owned(),
        };
        other.endpoints().disable_endpoint(disable).await.expect("disabled");
        stranger.delete_channel(&their_channel.id, false).await.expect("deleted");
        stranger.delete(&theirs.id, false).await.expect("deleted");
        let again = one.publish("policy.violation", r#"{"of": "ours"}"#).await;
        one.wait_for_state(&again, v1::delivery::State::Delivered).await;
        receiver.wait_for(3, PATIENCE).await;
        for request in receiver.requests() {
            let body = String::from_utf8_lossy(&request.body);
            let path = if body.contains("ours") { "/ours" } else { "/theirs" };
            assert_eq!(request.path, path);
        }
    }
    assert_eq!(acme.client.endpoint(&ours.id).await, ours);
    let channels = [AuditAction::EndpointCreated, AuditAction::ChannelCreated];
    assert_eq!(acme.actions().await, channels);
    assert_eq!(acme.channels().await, [our_channel.id]);
    server.stop().await;
    check_tables(&database).await;
}

async fn the_time_in_a_callers_id_means_nothing(backend: Backend) {
    let receiver = Receiver::start(Script::always(Reply::ok()));
    let database = Database::new(backend).await;
    let serve = Server::all_in_one(&database).delivering_to(&receiver).on_a_fixed_port();
    let mut server = serve.start().await;
    let acme = Organization::new(&server, "acme");
    let before = acme.client.publish("policy.violation", "{}").await;
    let now = acme.client.create_endpoint(&receiver.url("/now"), &["policy.violation"]).await.id;
    // 1970 and the year 10889, but for the ids that nothing may have.
    let ids = ["ep_00000000000000000000000001", "ep_7ZZZZZZZZZZZZZZZZZZZZZZZZY"];
    for (id, path) in ids.iter().zip(["/1970", "/10889"]) {
        let url = receiver.url(path);
        let created = acme.apply(&v1::Endpoint { id: (*id).to_owned(), url, ..endpoint() }).await;
        let created = created.expect("created");
        let (time, known) =
            (created.create_time.expect("a time"), acme.client.endpoint(&now).await);
        let age = time.seconds - known.create_time.expect("a time").seconds;
        assert!((0..60).contains(&age), "{age} s");
    }
    for nobodys in ["ep_00000000000000000000000000", "ep_7ZZZZZZZZZZZZZZZZZZZZZZZZZ"] {
        let refused =
            acme.create(nobodys, &endpoint()).await.expect_err("walks begin or end there");
        assert_refused(&refused, Code::InvalidArgument, "INVALID_FIELD");
        let id = nobodys.to_owned();
        let refused = acme.apply(&v1::Endpoint { id, ..endpoint() }).await.expect_err("the same");
        assert!(refused.message().contains("endpoint.id (must not be the least"), "{refused}");
    }
    let listed = [ids[1].to_owned(), now.clone(), ids[0].to_owned()];
    for page_size in [1, 2, 50] {
        assert_eq!(acme.endpoints(page_size).await, listed);
    }
    // Each is sent what is published from its creation on, also after the shard was read again.
    let after = acme.client.publish("policy.violation", "{}").await;
    receiver.wait_for(3, PATIENCE).await;
    let deliveries = acme.client.deliveries_of(&after).await;
    assert_eq!(deliveries.len(), 3);
    assert_eq!(acme.client.deliveries_of(&before).await, []);
    // And a replay of all reaches back before the creation.
    for id in ids {
        let replay = v1::Replay {
            endpoint_id: id.to_owned(),
            scope: v1::replay::Scope::All.into(),
            ..Default::default()
        };
        let request = v1::CreateReplayRequest {
            organization_id: acme.client.organization(),
            replay: Some(replay),
            validate_only: true,
            ..Default::default()
        };
        let counted = acme.client.dispatch().create_replay(request).await.expect("counted");
        let counted = counted.into_inner().replay.expect("a replay");
        assert_eq!((counted.scheduled_count, counted.skipped_count), (1, 1), "{id}");
    }
    server.stop().await;
    server.start_again().await;
    acme.client.publish("policy.violation", "{}").await;
    receiver.wait_for(6, PATIENCE).await;
    let paths: BTreeSet<_> = receiver.requests().iter().map(|one| one.path.clone()).collect();
    assert_eq!(paths.len(), 3, "{paths:?}");
    server.stop().await;
    check_tables(&database).await;
}

#[tokio::test]
async fn a_mask_names_the_destination_of_the_channels_kind() {
    let database = Database::new(Backend::Sqlite).await;
    let server = Server::all_in_one(&database).start().await;
    let acme = Organization::new(&server, "acme");
    let created = acme.apply_channel(&channel_to(URL)).await.expect("created");
    let update = async |destination: Option<Destination>, path: &str| {
        let request = v1::UpdateChannelRequest {
            organization_id: acme.client.organization(),
            channel: Some(v1::Channel {
                destination,
                id: created.id.clone(),
                ..Default::default()
            }),
            update_mask: Some(FieldMask { paths: vec![path.to_owned()] }),
            ..Default::default()
        };
        let updated = acme.channels.clone().update_channel(request).await?;
        Ok::<_, Status>(updated.into_inner().channel.expect("a channel"))
    };
    let moved = update(webhook("https://new.example/", ""), "webhook").await.expect("moved");
    assert_eq!(moved.destination, webhook("https://new.example/", ""));
    assert_eq!(moved.display_name, created.display_name);
    let url = "https://hooks.slack.com/services/x".to_owned();
    let slack = Some(Destination::Slack(v1::SlackDestination { url, ..Default::default() }));
    let other_kind = update(slack, "slack").await.expect_err("it is a webhook");
    assert_refused(&other_kind, Code::InvalidArgument, "INVALID_FIELD");
    let words = "channel.slack (the channel's destination is webhook, and a channel keeps its kind";
    assert!(other_kind.message().contains(words), "{other_kind}");
}
