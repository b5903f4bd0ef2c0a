//! What channels are told, in the words and the format of each kind of service. Pure: a
//! notification in, bytes or a mail out; who sends them, and whether they arrive, is dispatch's.
//!
//! [`Message`] decides what is said, once for all kinds; each kind has a file that says it as its
//! service's documentation asks: [`slack`], [`teams`], [`pager_duty`], [`webhook`], [`email`].
//!
//! May depend on: the domain, what vendors accept, and value crates.

pub mod email;
mod message;
pub mod pager_duty;
pub mod slack;
pub mod teams;
pub mod webhook;

pub use message::{Message, NotificationContext, Severity};
