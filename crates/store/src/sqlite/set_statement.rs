//! Statements over sets of rows.
//!
//! SQLite compiles a statement for a fixed number of parameters. So a set is split into parts whose
//! sizes are powers of two. Any number of rows takes few statements of few different sizes, and the
//! connection's cache keeps each of them compiled.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use sqlx::encode::Encode;
use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::types::Type;
use sqlx::{Arguments, AssertSqlSafe, FromRow, Sqlite, SqliteConnection};

use crate::tables::Cell;

/// The largest part has two to this power rows: 64. With the 21 columns of the widest table it is
/// far below SQLite's limit of 32,766 parameters.
const LARGEST_EXPONENT: u32 = 6;

/// A statement with `{rows}` in the place of the rows' values.
pub(super) struct SetStatement {
    columns: usize,
    template: Cow<'static, str>,
    /// The statement for 2^index rows, once it has been needed.
    sized: [OnceLock<Arc<str>>; LARGEST_EXPONENT as usize + 1],
}

impl SetStatement {
    /// `{rows}` in `template` becomes `(?, …), (?, …), …` with this many columns a row. The other
    /// parameters must follow the rows.
    pub(super) const fn new(columns: usize, template: &'static str) -> SetStatement {
        SetStatement::of(columns, Cow::Borrowed(template))
    }

    /// The same, of a template that was built.
    pub(super) const fn of(columns: usize, template: Cow<'static, str>) -> SetStatement {
        let sized = [const { OnceLock::new() }; LARGEST_EXPONENT as usize + 1];
        SetStatement { columns, template, sized }
    }

    /// Runs the statement for all rows. `bind` adds the values of a row.
    pub(super) async fn execute<T>(
        &self,
        connection: &mut SqliteConnection,
        rows: impl ExactSizeIterator<Item = T> + Send,
        bind: impl Fn(&mut Values, T) + Send,
    ) -> Result<(), sqlx::Error> {
        run(connection, self.parts(rows, bind)?).await
    }

    /// The statements for all rows, with their parameters. `bind` adds the values of a row.
    pub(super) fn parts<T>(
        &self,
        mut rows: impl ExactSizeIterator<Item = T> + Send,
        bind: impl Fn(&mut Values, T) + Send,
    ) -> Result<Vec<BoundStatement>, sqlx::Error> {
        let mut parts = Vec::new();
        while let Some(part) = self.next_part(&mut rows, &bind, &[])? {
            parts.push(part);
        }
        Ok(parts)
    }

    /// Runs the statement for all rows and reads its answer. `rest` are the parameters after the rows.
    pub(super) async fn fetch<T, Row>(
        &self,
        connection: &mut SqliteConnection,
        mut rows: impl ExactSizeIterator<Item = T> + Send,
        bind: impl Fn(&mut Values, T) + Send,
        rest: &[i64],
    ) -> Result<Vec<Row>, sqlx::Error>
    where
        Row: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let mut answers = Vec::new();
        while let Some((sql, arguments)) = self.next_part(&mut rows, &bind, rest)? {
            let query = sqlx::query_as_with(AssertSqlSafe(sql), arguments);
            answers.extend(query.fetch_all(&mut *connection).await?);
        }
        Ok(answers)
    }

    /// The same, as the rows of the database.
    pub(super) async fn fetch_rows<T>(
        &self,
        connection: &mut SqliteConnection,
        mut rows: impl ExactSizeIterator<Item = T> + Send,
        bind: impl Fn(&mut Values, T) + Send,
        rest: &[i64],
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let mut answers = Vec::new();
        while let Some((sql, arguments)) = self.next_part(&mut rows, &bind, rest)? {
            let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
            answers.extend(query.fetch_all(&mut *connection).await?);
        }
        Ok(answers)
    }

    fn next_part<T>(
        &self,
        rows: &mut (impl ExactSizeIterator<Item = T> + Send),
        bind: &(impl Fn(&mut Values, T) + Send),
        rest: &[i64],
    ) -> Result<Option<BoundStatement>, sqlx::Error> {
        let Some(exponent) = rows.len().checked_ilog2() else { return Ok(None) };
        let exponent = exponent.min(LARGEST_EXPONENT);
        let count = 1 << exponent;
        let mut values = Values::default();
        values.arguments.reserve(count * self.columns + rest.len(), 0);
        rows.take(count).for_each(|row| bind(&mut values, row));
        debug_assert_eq!(values.arguments.len(), count * self.columns);
        rest.iter().for_each(|value| values.push(*value));
        let arguments = values.finish()?;
        Ok(Some((self.sql(exponent), arguments)))
    }

    /// The statement for 2^exponent rows.
    pub(super) fn sql(&self, exponent: u32) -> Arc<str> {
        let sized = self.sized[exponent as usize].get_or_init(|| {
            let row = format!("({})", vec!["?"; self.columns].join(", "));
            let rows = vec![row; 1 << exponent].join(", ");
            self.template.replace("{rows}", &rows).into()
        });
        Arc::clone(sized)
    }
}

/// A statement with its parameters.
pub(super) type BoundStatement = (Arc<str>, SqliteArguments);

/// Runs statements, one after the other.
pub(super) async fn run(
    connection: &mut SqliteConnection,
    statements: Vec<BoundStatement>,
) -> Result<(), sqlx::Error> {
    for (sql, arguments) in statements {
        sqlx::query_with(AssertSqlSafe(sql), arguments).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The values of a statement's parameters, in their order.
#[derive(Default)]
pub(super) struct Values {
    arguments: SqliteArguments,
    error: Option<BoxDynError>,
}

impl Values {
    pub(super) fn push<'t>(&mut self, value: impl Encode<'t, Sqlite> + Type<Sqlite>) {
        if let Err(error) = self.arguments.add(value) {
            self.error.get_or_insert(error);
        }
    }

    pub(super) fn push_cell(&mut self, cell: Cell<'_>) {
        match cell {
            Cell::Null => self.push(None::<i64>),
            Cell::Text(Cow::Borrowed(text)) => self.push(text),
            Cell::Text(Cow::Owned(text)) => self.push(text),
            Cell::Integer(number) => self.push(number),
            Cell::Boolean(flag) => self.push(flag),
            Cell::Bytes(Cow::Borrowed(bytes)) => self.push(bytes),
            Cell::Bytes(Cow::Owned(bytes)) => self.push(bytes),
        }
    }

    fn finish(self) -> Result<SqliteArguments, sqlx::Error> {
        match self.error {
            None => Ok(self.arguments),
            Some(error) => Err(sqlx::Error::Encode(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{ConnectOptions, Connection};

    use super::*;

    static DOUBLES: SetStatement = SetStatement::new(
        2,
        "WITH given (number, twice) AS (VALUES {rows})
         SELECT number FROM given WHERE twice = 2 * number AND number >= ?",
    );

    async fn doubles(connection: &mut SqliteConnection, count: i64, from: i64) -> Vec<i64> {
        let bind = |values: &mut Values, number: i64| {
            values.push(number);
            values.push(2 * number);
        };
        let rows = Vec::from_iter(0..count).into_iter();
        let answers: Vec<(i64,)> =
            DOUBLES.fetch(connection, rows, bind, &[from]).await.expect("the statement runs");
        answers.into_iter().map(|(number,)| number).collect()
    }

    #[tokio::test]
    async fn a_set_of_any_size_is_covered_once() {
        let options = sqlx::sqlite::SqliteConnectOptions::new();
        let mut connection = options.connect().await.expect("a database in memory");
        for count in (0..=70).chain([127, 128, 129, 200, 1_000]) {
            assert!(doubles(&mut connection, count, 0).await.into_iter().eq(0..count), "{count}");
        }
        assert_eq!(doubles(&mut connection, 200, 197).await, [197, 198, 199]);
        let kinds = connection.cached_statements_size();
        assert_eq!(kinds, LARGEST_EXPONENT as usize + 1, "few kinds of statements");
    }
}
