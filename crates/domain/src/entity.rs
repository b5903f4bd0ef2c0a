//! Entities: each is the state that the records of its stream add up to.

use crate::Timestamp;
use crate::channel::{Channel, ChannelFact};
use crate::delivery::Delivery;
use crate::endpoint::Endpoint;
use crate::fact::{DeliveryFact, EndpointFact, Fact};
use crate::key::{Key, KeyFact};
use crate::log::{Stream, Version};
use crate::replay::{Replay, ReplayFact};

/// The state of a stream after a number of its records.
pub trait Entity {
    /// The facts of its stream.
    type Fact: Clone + Into<Fact>;

    /// The stream that its records are in.
    fn stream(&self) -> Stream;

    /// The number of records that it is the result of.
    fn version(&self) -> Version;

    /// The entity after one more fact, recorded at `recorded_at`.
    fn apply(&mut self, fact: &Self::Fact, recorded_at: Timestamp);
}

/// Implements [`Entity`]. The variants of [`Stream`] and [`Fact`] have the names of the entities.
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
    // Only the shard's owner knows the steady time, and it applies facts with it.
    Delivery DeliveryFact, None;
}
