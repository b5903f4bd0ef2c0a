//! What the tables can be asked. Lists are newest first and continue before an id.
//!
//! A list that is filtered by more than an index has looks at so many rows and no more, whether
//! they match or not: [`ListPage`] says how far that went.

pub(crate) mod attempts;
pub(crate) mod audit;
mod channels;
pub(crate) mod deliveries;
pub(crate) mod endpoints;
pub(crate) mod events;
pub(crate) mod filters;
pub mod health;
mod keys;
mod list_page;
pub mod long_reads;
pub mod notifications;
mod reading;
pub mod replay_candidates;
mod replays;
pub(crate) mod selection;
pub(crate) mod walk;

pub use filters::{
    AttemptFilter, AuditFilter, DeliveryFilter, EndpointFilter, EventFilter, Interval, KeyFilter,
};
pub use list_page::ListPage;
pub use selection::Extreme;
