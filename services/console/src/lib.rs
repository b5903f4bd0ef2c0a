//! The console: what the tutorial shows an admin, as server-rendered pages. A client of the
//! three services' gRPC contracts and of nothing else; it keeps no state but what a browser
//! will be shown next.
//!
//! One request: [`server`] checks where it comes from and whose session it is; a handler in
//! [`pages`] asks the services through [`services::Services`], makes a view of the answers, and a
//! template in `templates/` shows it. [`live`] tells an open page what has changed since.
//!
//! May depend on: the contracts, the domain (its words and rules, so that a form is checked by
//! the same rules as the API), the process crate, axum and askama. Never on the store or on
//! another service.

mod assets;
mod fields;
pub mod flags;
mod live;
mod notices;
mod pages;
mod server;
mod services;
mod session;
mod trouble;
mod view;

pub use server::{Console, ConsoleError};
pub use services::Services;
