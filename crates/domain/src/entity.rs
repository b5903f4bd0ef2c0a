//! Entities: what the records of one stream add up to.

use crate::Timestamp;
use crate::channel::{Channel, ChannelFact};
use crate::delivery::Delivery;
use crate::endpoint::Endpoint;
use crate::fact::{DeliveryFact, EndpointFact, Fact};
use crate::key::{Key, KeyFact};
use crate::log::{Stream, Version};
use crate::replay::{Replay, ReplayFact};

/// Something with a stream of its own, as it is after a number of records.
pub trait Entity {
    /// What happens to it.
    type Fact: Clone + Into<Fact>;

    /// The stream that its records are in.
    fn stream(&self) -> Stream;

    /// How many records it is the sum of.
    fn version(&self) -> Version;

    /// The entity after one more fact, recorded at `recorded_at`.
    fn apply(&mut self, fact: &Self::Fact, recorded_at: Timestamp);
}

/// The variants of [`Stream`] and [`Fact`] are named after the entity.
macro_rules! entities {
    ($($entity:ident $fact:ident $(, $steady_time:expr)?;)*) => {$(
        impl Entity for $entity {
            type Fact = $fact;

            fn stream(&self) -> Stream {
                Stream::$entity(self.id)
            }

            fn version(&self) -> Version {
                self.version
            }

            fn apply(&mut self, fact: &$fact, recorded_at: Timestamp) {
                $entity::apply(self, fact, recorded_at $(, $steady_time)?);
            }
        }

        impl From<$fact> for Fact {
            fn from(fact: $fact) -> Fact {
                Fact::$entity(fact)
            }
        }
    )*};
}

entities! {
    Endpoint EndpointFact;
    Channel ChannelFact;
    Key KeyFact;
    Replay ReplayFact;
    // Facts that are timed by the steady clock are the shard's owner's to append.
    Delivery DeliveryFact, None;
}
