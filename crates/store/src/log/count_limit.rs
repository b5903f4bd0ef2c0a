//! Limits on how many of something there may be. An operation that adds one brings its limits along,
//! and they are decided while the shard is locked: a count that was read before may be too low by then.
//!
//! Decision: docs/decisions/limits-are-decided-in-the-log.md

use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::ids::{EndpointId, OrganizationId};
use keeptrusts_webhooks_domain::replay::{Replay, ReplayState};

/// How many of something an organization may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountLimit {
    pub counted: Counted,
    /// An operation is refused if there are as many already.
    pub max: u64,
}

/// What is counted, of one organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Counted {
    /// Endpoints that are not deleted.
    Endpoints,
    /// Channels that are not deleted.
    Channels,
    /// Replays that have not ended.
    RunningReplays,
    /// Replays of one endpoint that have not ended.
    RunningReplaysOf(EndpointId),
}

/// A number belongs to an organization.
pub(crate) type CountOwner = (OrganizationId, Counted);

impl Counted {
    pub(crate) fn includes_endpoint(self, endpoint: &Endpoint) -> bool {
        self == Counted::Endpoints && endpoint.delete_time.is_none()
    }

    pub(crate) fn includes_channel(self, channel: &Channel) -> bool {
        self == Counted::Channels && channel.delete_time.is_none()
    }

    /// Whether a replay is one of them.
    pub fn includes_replay(self, replay: &Replay) -> bool {
        let is_one = match self {
            Counted::RunningReplays => true,
            Counted::RunningReplaysOf(endpoint) => replay.request.selection.endpoint_id == endpoint,
            Counted::Endpoints | Counted::Channels => false,
        };
        is_one && replay.state == ReplayState::Running
    }
}
