//! The queries: methods of `dyn Store`, written once for all backends. Lists are newest first, and a
//! page continues before an id.
//!
//! A list that an index alone cannot filter examines a limited number of rows, whether they match or
//! not; [`ListPage`] says where they end.

pub(crate) mod attempts;
pub(crate) mod audit;
mod channels;
pub(crate) mod counts;
pub(crate) mod deliveries;
pub(crate) mod endpoints;
pub(crate) mod events;
pub(crate) mod filters;
pub mod health;
pub(crate) mod interval;
mod keys;
mod list_page;
pub mod long_reads;
pub mod notifications;
mod reading;
pub mod replay_candidates;
mod replays;
mod requests;
pub(crate) mod selection;
mod state_filter;
pub(crate) mod walk;

pub use filters::{
    AnyOf, AttemptFilter, AuditFilter, DeliveryFilter, EndpointFilter, EventFilter, KeyFilter,
    NotificationFilter, ReplayFilter,
};
pub use interval::Interval;
pub use list_page::ListPage;
pub use selection::Extreme;
pub use state_filter::StateFilter;
