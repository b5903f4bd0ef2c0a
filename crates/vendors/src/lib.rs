//! What Slack, Microsoft Teams and PagerDuty accept: the lengths of texts, their escaping, and the
//! shape of messages. Both endpoint payloads and notifications use it, so that each limit is defined
//! once.
//!
//! What a message says, and how much of it people can read, is decided by its users.
//!
//! May depend on serde_json.

pub mod pager_duty;
pub mod slack;
pub mod teams;
mod truncate;

pub use truncate::Truncator;
