//! What Slack, Microsoft Teams and PagerDuty accept: how long texts may be, what must be escaped in
//! them, and the shapes that every message has. Payloads of endpoints and messages to notification
//! channels are both made with it, so that a limit is known in one place.
//!
//! What is said, and in how many words people can read it, is not decided here.
//!
//! May depend on: what writes JSON.

mod cut;
pub mod pager_duty;
pub mod slack;
pub mod teams;

pub use cut::Cutting;
