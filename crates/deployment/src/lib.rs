//! Checks that the queries in `deploy/` ask for metrics and labels that our processes have.
//!
//! A query for a metric that does not exist is no error: its result is empty, so the panel stays empty
//! and the alert never fires. So every query of alert rules, recording rules and dashboards is parsed,
//! and each metric and label in it must be in a scrape. For tests only; those in `tests/` also hold the
//! documents to the code, and the imports of every crate to be without circles.
//!
//! ```ignore
//! let scrape = Scrape::parse(&text_of_all_processes)?;
//! let problems = check(&scrape, &Query::of_folder(Path::new("deploy"))?);
//! ```

mod check;
mod query;
mod scrape;

pub use check::{ProblemKind, QueryProblem, check};
pub use query::{Query, QueryFileError};
pub use scrape::{InvalidScrape, Labels, Scrape};
