//! The differences between the databases' SQL.

use keeptrusts_webhooks_domain::log::Shard;
use sqlx::{Database, Encode, Postgres, QueryBuilder, Sqlite, Type};

use crate::tables::Cell;

pub(crate) trait Dialect: Database + Sized {
    /// Adds a parameter.
    fn bind(query: &mut QueryBuilder<Self>, value: &Cell<'static>);

    /// Adds a shard as a parameter.
    fn bind_shard(query: &mut QueryBuilder<Self>, shard: Shard);

    /// After a table's name: reads the table by this index.
    fn by_index(query: &mut QueryBuilder<Self>, index: &'static str);

    /// The condition that a column has a value, if it has the same value in all rows that the other
    /// conditions match.
    fn equal_throughout(
        query: &mut QueryBuilder<Self>,
        column: &'static str,
        value: &Cell<'static>,
    );

    /// The condition that a column has one of many texts, or none of them. The texts are one
    /// parameter, so that the statement is the same however many there are.
    fn among(
        query: &mut QueryBuilder<Self>,
        column: &'static str,
        is_among: bool,
        texts: &[String],
    );

    /// The condition that a column contains a text, whatever its ASCII case.
    fn contains(query: &mut QueryBuilder<Self>, column: &'static str, lower_case: &str);
}

impl Dialect for Postgres {
    fn bind(query: &mut QueryBuilder<Postgres>, value: &Cell<'static>) {
        push_cell(query, value);
    }

    fn bind_shard(query: &mut QueryBuilder<Postgres>, shard: Shard) {
        query.push_bind(i32::from(shard.0));
    }

    // Postgres has no such hint: its statistics decide.
    fn by_index(_query: &mut QueryBuilder<Postgres>, _index: &'static str) {}

    // Postgres takes conditions for independent, and would expect few rows to match all of them: so
    // few that it would read and sort all rows instead of reading an index in its order up to a
    // limit. Its statistics do not apply to coalesce().
    fn equal_throughout(
        query: &mut QueryBuilder<Postgres>,
        column: &'static str,
        value: &Cell<'static>,
    ) {
        query.push(format_args!("coalesce({column} = "));
        Self::bind(query, value);
        query.push(", FALSE)");
    }

    // Without coalesce() it would sometimes look rows up by the texts, and then sort them: see above.
    fn among(
        query: &mut QueryBuilder<Postgres>,
        column: &'static str,
        is_among: bool,
        texts: &[String],
    ) {
        let not = if is_among { "" } else { "NOT " };
        query.push(format_args!("{not}coalesce({column} = ANY ("));
        query.push_bind(texts.to_vec()).push("), FALSE)");
    }

    // In the C collation lower() changes only ASCII letters.
    fn contains(query: &mut QueryBuilder<Postgres>, column: &'static str, lower_case: &str) {
        query.push(format_args!("strpos(lower({column} COLLATE \"C\"), "));
        query.push_bind(lower_case.to_owned()).push(") > 0");
    }
}

impl Dialect for Sqlite {
    fn bind(query: &mut QueryBuilder<Sqlite>, value: &Cell<'static>) {
        push_cell(query, value);
    }

    fn bind_shard(query: &mut QueryBuilder<Sqlite>, shard: Shard) {
        query.push_bind(i64::from(shard.0));
    }

    fn by_index(query: &mut QueryBuilder<Sqlite>, index: &'static str) {
        query.push(format_args!(" INDEXED BY {index}"));
    }

    fn equal_throughout(
        query: &mut QueryBuilder<Sqlite>,
        column: &'static str,
        value: &Cell<'static>,
    ) {
        query.push(format_args!("{column} = "));
        Self::bind(query, value);
    }

    // The plus keeps SQLite from looking rows up by the texts, and from sorting what it finds.
    fn among(
        query: &mut QueryBuilder<Sqlite>,
        column: &'static str,
        is_among: bool,
        texts: &[String],
    ) {
        let not = if is_among { "" } else { "NOT " };
        query.push(format_args!("+{column} {not}IN (SELECT value FROM json_each("));
        query.push_bind(serde_json::Value::from(texts).to_string()).push("))");
    }

    // lower() changes only ASCII letters.
    fn contains(query: &mut QueryBuilder<Sqlite>, column: &'static str, lower_case: &str) {
        query.push(format_args!("instr(lower({column}), "));
        query.push_bind(lower_case.to_owned()).push(") > 0");
    }
}

fn push_cell<DB: Database>(query: &mut QueryBuilder<DB>, value: &Cell<'static>)
where
    String: for<'q> Encode<'q, DB> + Type<DB>,
    i64: for<'q> Encode<'q, DB> + Type<DB>,
    bool: for<'q> Encode<'q, DB> + Type<DB>,
    Vec<u8>: for<'q> Encode<'q, DB> + Type<DB>,
{
    match value.clone() {
        Cell::Null => query.push("NULL"),
        Cell::Text(text) => query.push_bind(text.into_owned()),
        Cell::Integer(number) => query.push_bind(number),
        Cell::Boolean(flag) => query.push_bind(flag),
        Cell::Bytes(bytes) => query.push_bind(bytes.into_owned()),
    };
}
