//! Views: the services' answers in the console's words, as templates take them. Pure.

pub(crate) mod audit;
mod audit_change;
pub(crate) mod channel;
pub(crate) mod chart;
pub(crate) mod delivery;
pub(crate) mod endpoint;
pub(crate) mod filter;
pub(crate) mod frame;
pub(crate) mod health;
pub(crate) mod json;
pub(crate) mod key;
pub(crate) mod paging;
pub(crate) mod payload;
pub(crate) mod replay;
pub(crate) mod time;

/// A word of state with its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Badge {
    pub(crate) word: &'static str,
    /// The style sheet's class.
    pub(crate) class: &'static str,
}

/// Options of a select, and the selected `value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SelectOption {
    pub(crate) value: String,
    pub(crate) name: String,
    pub(crate) chosen: bool,
}

impl SelectOption {
    pub(crate) fn new(value: &str, name: &str, chosen: &str) -> SelectOption {
        SelectOption { value: value.to_owned(), name: name.to_owned(), chosen: value == chosen }
    }
}
