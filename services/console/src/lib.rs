//! The console: the pages on which an admin creates endpoints and follows deliveries, rendered on
//! the server. It is a client of the services' gRPC contracts and of nothing else, and keeps no
//! state except what a browser will be shown next. Sessions belong to AccessService; the browser's
//! cookie only names one.
//!
//! A request passes these steps: [`server`] checks where it comes from; [`authentication`] finds
//! its session and checks the visitor's permission; a handler in [`pages`] asks the services
//! through [`services::Services`] with the session's own token, makes a view of the answers, and a
//! template in `templates/` shows it. [`account`] gets a token for a session from an OpenID Connect
//! issuer. [`live_updates`] keeps open pages up to date.
//!
//! May depend on: the contracts, the domain (its words and rules, so that a form is checked by the
//! same rules as the API), the process crate, the access crate (the caller's address and the
//! issuer), axum and askama. Never on the store or on another service.
//!
//! Decision: docs/decisions/pages-are-rendered-by-the-server.md

mod account;
mod app_state;
mod assets;
mod authentication;
mod compression;
mod confidential;
mod credentials;
mod error_page;
mod fields;
pub mod flags;
mod flash;
mod live_updates;
mod organization_choices;
mod pages;
mod public_url;
mod request_origin;
mod response_memory;
mod return_path;
mod routes;
mod server;
mod services;
mod session;
mod view;
mod visitor;

pub use account::AccountsError;
pub use routes::shown_paths;
pub use server::{Console, ConsoleError};
pub use services::Services;
