//! Renders notifications in the format of each kind of channel. Pure: a notification in, bytes or a
//! mail out. Sending is dispatch's.
//!
//! [`Message`] has the content, once for all kinds. Each kind has a file for its service's format:
//! [`slack`], [`teams`], [`pager_duty`], [`webhook`], [`email`].
//!
//! May depend on the domain, on vendors and on value crates.

pub mod email;
mod message;
pub mod pager_duty;
pub mod slack;
pub mod teams;
pub mod webhook;

pub use message::{Message, NotificationContext, Severity};
