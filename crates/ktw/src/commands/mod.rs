//! The commands, a file for each.

pub(crate) mod attempts;
pub(crate) mod audit;
pub(crate) mod channels;
pub(crate) mod completions;
pub(crate) mod deliveries;
pub(crate) mod doctor;
pub(crate) mod endpoints;
pub(crate) mod events;
pub(crate) mod keys;
pub(crate) mod listen;
pub(crate) mod notifications;
pub(crate) mod profiles;
pub(crate) mod publish;
pub(crate) mod replays;
pub(crate) mod test;
pub(crate) mod verify;
pub(crate) mod watch;
