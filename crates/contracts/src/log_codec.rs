//! The encoding of the log: facts, their metadata and exchanges as bytes, and back.
//!
//! Old records stay readable for ever. Encoding cannot fail. Decoding fails only on bytes that no
//! version of this program, or only a newer one, has written.

mod channel;
mod delivery;
mod endpoint;
mod error;
mod event;
mod exchange;
mod key;
mod metadata;
mod notification;
mod operator;
mod replay;
mod values;

use keeptrusts_webhooks_domain::channel::ChannelFact;
use keeptrusts_webhooks_domain::fact::{DeliveryFact, EndpointFact, Fact, OperatorFact};
use keeptrusts_webhooks_domain::key::KeyFact;
use keeptrusts_webhooks_domain::log::Stream;
use keeptrusts_webhooks_domain::notification::NotificationFact;
use keeptrusts_webhooks_domain::replay::ReplayFact;
use prost::Message;

use crate::log::v1 as pb;

pub use error::DecodeError;
pub use exchange::{decode_exchange, encode_exchange};
pub use metadata::Metadata;

/// The `data` of a record: a RecordData message.
pub fn encode(fact: &Fact) -> Vec<u8> {
    let fact = match fact {
        Fact::Endpoint(fact) => fact.into(),
        Fact::EventAccepted(fact) => fact.into(),
        Fact::DeliveriesScheduled(fact) => fact.into(),
        Fact::Delivery(fact) => fact.into(),
        Fact::Key(fact) => fact.into(),
        Fact::Replay(fact) => fact.into(),
        Fact::Channel(fact) => fact.into(),
        Fact::Notification(fact) => fact.into(),
        Fact::Operator(fact) => fact.into(),
    };
    pb::RecordData { fact: Some(fact) }.encode_to_vec()
}

/// Decodes the `data` of a record in `stream`. A fact about another kind of stream is an error.
pub fn decode(stream: Stream, data: &[u8]) -> Result<Fact, DecodeError> {
    let message = pb::RecordData::decode(data)?.fact.ok_or(DecodeError::UnknownFact)?;
    match stream {
        Stream::Endpoint(_) => endpoint::decode(message).map(Fact::Endpoint),
        Stream::Event(_) => event::decode(message),
        Stream::Delivery(_) => delivery::decode(message).map(Fact::Delivery),
        Stream::Key(_) => key::decode(message).map(Fact::Key),
        Stream::Replay(_) => replay::decode(message).map(Fact::Replay),
        Stream::Channel(_) => channel::decode(message).map(Fact::Channel),
        Stream::Notification(_) => notification::decode(message).map(Fact::Notification),
        Stream::Operation(_) => operator::decode(message).map(Fact::Operator),
    }
}

/// The `kind` of a record: the name of the fact's message.
pub fn kind(fact: &Fact) -> &'static str {
    match fact {
        Fact::Endpoint(EndpointFact::Created { .. }) => "EndpointCreated",
        Fact::Endpoint(EndpointFact::Updated { .. }) => "EndpointUpdated",
        Fact::Endpoint(EndpointFact::SecretRotated { .. }) => "EndpointSecretRotated",
        Fact::Endpoint(EndpointFact::Enabled) => "EndpointEnabled",
        Fact::Endpoint(EndpointFact::Disabled { .. }) => "EndpointDisabled",
        Fact::Endpoint(EndpointFact::Degraded { .. }) => "EndpointDegraded",
        Fact::Endpoint(EndpointFact::Recovered { .. }) => "EndpointRecovered",
        Fact::Endpoint(EndpointFact::Deleted) => "EndpointDeleted",
        Fact::Endpoint(EndpointFact::SecretRevealed) => "EndpointSecretRevealed",
        Fact::EventAccepted(_) => "EventAccepted",
        Fact::DeliveriesScheduled(_) => "DeliveriesScheduled",
        Fact::Delivery(DeliveryFact::TestRequested { .. }) => "TestRequested",
        Fact::Delivery(DeliveryFact::Replayed { .. }) => "DeliveryReplayed",
        Fact::Delivery(DeliveryFact::Resumed { .. }) => "DeliveryResumed",
        Fact::Delivery(DeliveryFact::RetryRequested) => "RetryRequested",
        Fact::Delivery(DeliveryFact::CancelRequested) => "CancelRequested",
        Fact::Delivery(DeliveryFact::AttemptSucceeded(_)) => "AttemptSucceeded",
        Fact::Delivery(DeliveryFact::AttemptFailed { .. }) => "AttemptFailed",
        Fact::Delivery(DeliveryFact::Expired { .. }) => "DeliveryExpired",
        Fact::Delivery(DeliveryFact::Cancelled { .. }) => "DeliveryCancelled",
        Fact::Key(KeyFact::Created(_)) => "KeyCreated",
        Fact::Key(KeyFact::Revoked) => "KeyRevoked",
        Fact::Key(KeyFact::SessionEnded) => "SessionEnded",
        Fact::Replay(ReplayFact::Requested(_)) => "ReplayRequested",
        Fact::Replay(ReplayFact::Advanced(_)) => "ReplayAdvanced",
        Fact::Replay(ReplayFact::Ended { .. }) => "ReplayEnded",
        Fact::Replay(ReplayFact::Cancelled { .. }) => "ReplayCancelled",
        Fact::Channel(ChannelFact::Created(_)) => "ChannelCreated",
        Fact::Channel(ChannelFact::Updated { .. }) => "ChannelUpdated",
        Fact::Channel(ChannelFact::Deleted) => "ChannelDeleted",
        Fact::Channel(ChannelFact::Failing { .. }) => "ChannelFailing",
        Fact::Channel(ChannelFact::Recovered) => "ChannelRecovered",
        Fact::Notification(NotificationFact::Raised(_)) => "NotificationRaised",
        Fact::Notification(NotificationFact::Counted { .. }) => "NotificationCounted",
        Fact::Notification(NotificationFact::Sent { .. }) => "NotificationSent",
        Fact::Notification(NotificationFact::Failed { .. }) => "NotificationFailed",
        Fact::Notification(NotificationFact::Withdrawn { .. }) => "NotificationWithdrawn",
        Fact::Operator(OperatorFact::OrganizationErased) => "OrganizationErased",
        Fact::Operator(OperatorFact::MasterKeyRotated { .. }) => "MasterKeyRotated",
    }
}
