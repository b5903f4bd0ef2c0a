//! Whose connections a request uses: each endpoint and each channel has its own.
//!
//! Ids of endpoints and channels may be made by clients. So an endpoint and a channel can have the same
//! ULID, and so can things of different organizations on different shards. They must not share
//! connections, nor the limits of connections: one could keep the other from sending.
//!
//! Decision: docs/decisions/ids-may-be-the-callers.md

use keeptrusts_webhooks_domain::ids::{ChannelId, EndpointId};
use keeptrusts_webhooks_domain::log::Shard;
use keeptrusts_webhooks_outbound::ConnectionGroup;

pub(crate) fn of_endpoint(shard: Shard, id: EndpointId) -> ConnectionGroup {
    ConnectionGroup::within(u32::from(shard.0) * 2, id.ulid().0)
}

pub(crate) fn of_channel(shard: Shard, id: ChannelId) -> ConnectionGroup {
    ConnectionGroup::within(u32::from(shard.0) * 2 + 1, id.ulid().0)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ulid::Ulid;

    use super::*;

    #[test]
    fn things_with_the_same_ulid_share_no_connections() {
        let ulids = [Ulid(1), Ulid(2)];
        let groups = [Shard(0), Shard(1), Shard(u16::MAX)].map(|shard| {
            ulids.map(|ulid| {
                let channel = of_channel(shard, ChannelId::new(ulid));
                [of_endpoint(shard, EndpointId::new(ulid)), channel]
            })
        });
        let all = groups.into_iter().flatten().flatten();
        assert_eq!(all.collect::<HashSet<_>>().len(), 12);
    }
}
