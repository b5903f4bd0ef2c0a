//! The pages, a file for each. A handler asks the services, makes a view, and renders it.

pub(crate) mod account;
pub(crate) mod asset;
pub(crate) mod audit;
pub(crate) mod channels;
pub(crate) mod create;
pub(crate) mod delivery;
pub(crate) mod edit;
pub(crate) mod endpoint;
pub(crate) mod events;
mod form;
mod form_errors;
pub(crate) mod guest;
pub(crate) mod health;
pub(crate) mod keys;
pub(crate) mod organization;
pub(crate) mod page;
mod payload;
pub(crate) mod query;
pub(crate) mod replay;
pub(crate) mod sign_in;
pub(crate) mod visit;
pub(crate) mod webhooks;
