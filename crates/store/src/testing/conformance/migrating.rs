//! What migrations make of tables that are full already.

use super::Fixture;
use super::given::*;
use super::projections::{a_delivery_to, an_endpoint};

/// Fills the tables with what the migration of `events.position` has to fill in.
pub(crate) async fn fill(fixture: &Fixture) {
    let endpoint = an_endpoint(fixture).await;
    for _ in 0..3 {
        a_delivery_to(fixture, endpoint).await;
        fixture.append(request_test(delivery_id(), event_id(), endpoint)).await;
        fixture.append(publish(event_id()).of(other_organization())).await;
    }
}

/// The statements of a migration that change rows.
pub(crate) fn updates(migration: &'static str) -> Vec<&'static str> {
    let statements = migration.split(';').filter_map(|statement| {
        let begin = statement.find("UPDATE ")?;
        Some(&statement[begin..])
    });
    statements.collect()
}
