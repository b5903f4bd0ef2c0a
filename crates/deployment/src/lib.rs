//! Holds what is in `deploy/` to what our processes really say of themselves.
//!
//! A query that names a metric that does not exist is no error: it answers nothing, the panel stays
//! empty and the alert silent, for ever. So every query of alert rules, recording rules and
//! dashboards is parsed as Prometheus parses it, and each metric and label in it is looked for in a
//! scrape. For tests only.
//!
//! ```ignore
//! let scrape = Scrape::parse(&text_of_all_processes)?;
//! let problems = check(&scrape, &Query::of_folder(Path::new("deploy"))?);
//! ```

mod check;
mod query;
mod scrape;

pub use check::{QueryProblem, ProblemKind, check};
pub use query::{Query, QueryFileError};
pub use scrape::{Labels, InvalidScrape, Scrape};
