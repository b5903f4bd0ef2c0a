//! The console: what the tutorial shows an admin, as server-rendered pages. A client of the
//! services' gRPC contracts and of nothing else; it keeps no state but what a browser will be
//! shown next. Sessions are AccessService's, and the browser's cookie is all that names one.
//!
//! One request: [`server`] checks where it comes from, [`door`] whose session it is and whether
//! that visitor may do it; a handler in [`pages`] asks the services through
//! [`services::Services`] with the session's own token, makes a view of the answers, and a
//! template in `templates/` shows it. [`account`] is how one gets a token for a session from an
//! OpenID Connect issuer. [`live`] tells an open page what has changed since.
//!
//! May depend on: the contracts, the domain (its words and rules, so that a form is checked by
//! the same rules as the API), the process crate, the access crate (whom a request is made for,
//! and how an issuer is asked), axum and askama. Never on the store or on another service.
//!
//! Decision: docs/decisions/pages-are-rendered-by-the-server.md

mod account;
mod assets;
mod choices;
mod compression;
mod confidential;
mod credentials;
mod destination;
mod door;
mod fields;
pub mod flags;
mod live;
mod notices;
mod origin;
mod pages;
mod public_url;
mod routes;
mod server;
mod services;
mod session;
mod trouble;
mod unread;
mod view;
mod visitor;

pub use account::AccountsError;
pub use routes::shown_paths;
pub use server::{Console, ConsoleError};
pub use services::Services;
