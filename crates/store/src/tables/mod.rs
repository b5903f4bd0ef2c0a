//! The tables, each described once: its columns, what they hold of an entity, and how the entity
//! is read back. Both databases derive from this what they write and read.
//!
//! A new column is a line in its table's file, a line where the entity is read, and a migration.
//! Configuration and small state are read from a [`document`] alone: a new field of such an entity
//! needs no column. Its columns are for what statements search.
//!
//! Decision: docs/decisions/a-table-is-described-once.md

mod attempt_counts;
mod attempts;
mod bodies;
mod cell;
mod channels;
mod deliveries;
mod document;
mod document_difference;
mod endpoints;
mod entity;
mod events;
mod failing_endpoints;
mod incidents;
mod key_uses;
mod keys;
mod missed_events;
mod notifications;
mod pauses;
mod per_table_cache;
mod projections;
mod records;
mod replays;
mod requests;
mod row_keys;
mod rows;
mod stored_row;
mod table;
mod transaction;

pub(crate) use self::bodies::BODIES;
pub(crate) use self::cell::{Cell, duration_micros, micros};
pub(crate) use self::entity::Entity;
pub(crate) use self::key_uses::KeyUse;
pub(crate) use self::per_table_cache::PerTableCache;
pub(crate) use self::projections::{Projection, RowDifference, projections};
pub(crate) use self::records::JudgedRecord;
pub(crate) use self::row_keys::{Keys, TableKey, TableShape, with_owner};
pub use self::rows::Rows;
pub(crate) use self::rows::{ReadableRow, Stored, read_all};
pub(crate) use self::stored_row::{CellRow, StoredRow, number, parse, time, unreadable, word};
pub(crate) use self::table::{Column, Kind, OnConflict, Purpose, Table, listed};
pub(crate) use self::transaction::{
    TableReads, TableWrites, load, load_counts, load_requests, write_changes, write_plan,
};
