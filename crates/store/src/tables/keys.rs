//! `keys`: API keys and sessions, all on one shard.

use keeptrusts_webhooks_domain::key::{Key, SessionOrigin, TokenDigest};

use super::stored::organization_or_all;
use super::{Cell, Entity, StoredRow, Table};
use crate::error::StoreError;

type Column = super::Column<Key>;

impl Entity for Key {
    const TABLE: Table<Key> = Table {
        name: "keys",
        columns: &[
            Column::text("key_id", |row| Cell::shown(row.id)).key(),
            Column::text("organization_id", |row| Cell::shown(&row.reach)).kept(),
            Column::text("name", |row| row.name.as_str().into()).kept(),
            Column::text("role", |row| row.role.name().into()).kept(),
            Column::bytes("token_sha256", |row| (&row.token.0).into()).kept(),
            Column::boolean("is_session", |row| row.session.is_some().into()).kept(),
            Column::text("parent_key_id", |row| {
                row.session.and_then(|session| session.parent).map(Cell::shown).into()
            })
            .kept(),
            Column::text("creator", |row| row.creator.as_str().into()).kept(),
            Column::integer("create_time", |row| row.create_time.into()).kept(),
            Column::integer("expire_time", |row| row.expire_time.into()).kept(),
            Column::integer("revoke_time", |row| row.revoke_time.into()),
            Column::integer("version", |row| row.version.into()),
        ],
    };

    fn read(row: &impl StoredRow) -> Result<Key, StoreError> {
        let parent = row.optional_parsed("parent_key_id")?;
        Ok(Key {
            id: row.parsed("key_id")?,
            reach: organization_or_all(&row.text("organization_id")?)?.into(),
            name: row.text("name")?,
            role: row.word("role")?,
            token: TokenDigest(row.sha256("token_sha256")?),
            session: row.boolean("is_session")?.then_some(SessionOrigin { parent }),
            creator: row.text("creator")?,
            create_time: row.time("create_time")?,
            expire_time: row.optional_time("expire_time")?,
            revoke_time: row.optional_time("revoke_time")?,
            version: row.version()?,
        })
    }
}
