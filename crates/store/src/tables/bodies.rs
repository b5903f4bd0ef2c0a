//! `bodies`: content that expires. Not a projection: a rebuild leaves it alone.
//!
//! Decision: docs/decisions/bodies-are-not-in-the-log.md

use super::{Cell, Table};
use crate::log::operation::NewBody;

type Column = super::Column<NewBody>;

/// Bodies are read by statements of their own, so they are no [`Entity`](super::Entity).
pub(crate) const BODIES: Table<NewBody> = Table {
    name: "bodies",
    columns: &[
        Column::text("id", |row| Cell::shown(row.id)).key(),
        Column::bytes("content", |row| row.content.as_ref().into()),
        Column::integer("expire_time", |row| row.expire_time.into()),
    ],
};
