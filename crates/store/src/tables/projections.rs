//! The projections: tables that are nothing but a fold of the log, as a rebuild and a check see them.

use keeptrusts_webhooks_domain::attempt::Attempt;
use keeptrusts_webhooks_domain::channel::Channel;
use keeptrusts_webhooks_domain::delivery::Delivery;
use keeptrusts_webhooks_domain::document::Document;
use keeptrusts_webhooks_domain::endpoint::Endpoint;
use keeptrusts_webhooks_domain::event::Event;
use keeptrusts_webhooks_domain::key::Key;
use keeptrusts_webhooks_domain::notification::Notification;
use keeptrusts_webhooks_domain::replay::Replay;
use keeptrusts_webhooks_domain::request::RecordedRequest;
use keeptrusts_webhooks_domain::visible_text::with_hidden_escaped;

use super::document::{self, TEXT, VERSION};
use super::document_difference::{HIDDEN, HIDDEN_AND_DIFFERENT, differing_fields, whole};
use super::{Cell, Entity, Kind, Purpose, StoredRow, listed, unreadable};
use crate::error::StoreError;
use crate::log::projection::{CountKey, MissedEvent};
use crate::log::rows::{EndpointIncident, FailingEndpoint, PausedEndpoint};

/// A table that is nothing but a fold of the log.
pub(crate) struct Projection {
    pub(crate) name: &'static str,
    /// Without the shard, which is its first column.
    pub(crate) key: Vec<&'static str>,
    pub(crate) columns: Vec<&'static str>,
    /// The columns that every fold makes the same. A document may have several texts.
    plain_columns: Vec<(&'static str, Kind)>,
    documents: Option<Documents>,
}

/// The documents of a table, with the type of their entity erased.
struct Documents {
    version: u16,
    compare: fn(Option<StoredDocument>, Option<StoredDocument>) -> Result<Compared, StoreError>,
}

struct StoredDocument {
    version: i64,
    /// UTF-8, unless somebody has changed it.
    text: Vec<u8>,
}

struct Compared {
    is_same: bool,
    /// For people to read, without what is hidden.
    stored: Option<String>,
    rebuilt: Option<String>,
}

const SIDES: [&str; 2] = ["stored", "rebuilt"];

/// All projections.
pub(crate) fn projections() -> [Projection; 14] {
    fn of<Row: Entity>() -> Projection {
        let columns = Row::TABLE.columns.iter();
        let plain = columns.clone().filter(|column| column.purpose != Purpose::Document);
        Projection {
            name: Row::TABLE.name,
            key: Row::TABLE.key().map(|column| column.name).collect(),
            columns: columns.map(|column| column.name).collect(),
            plain_columns: plain.map(|column| (column.name, column.kind)).collect(),
            documents: None,
        }
    }
    fn of_documents<Row: Entity + Document>() -> Projection {
        let documents = Documents { version: Row::VERSION, compare: compare::<Row> };
        Projection { documents: Some(documents), ..of::<Row>() }
    }
    [
        of_documents::<Endpoint>(),
        of::<Event>(),
        of::<Delivery>(),
        of::<Attempt>(),
        of::<MissedEvent>(),
        of::<(CountKey, u64)>(),
        of::<FailingEndpoint>(),
        of::<PausedEndpoint>(),
        of_documents::<Key>(),
        of_documents::<Replay>(),
        of_documents::<Channel>(),
        of_documents::<Notification>(),
        of::<EndpointIncident>(),
        of::<RecordedRequest>(),
    ]
}

/// A stored document that cannot be read is a difference: a rebuild replaces it. One of a newer
/// version is an error: a rebuild would lose its new fields.
fn compare<Row: Entity + Document>(
    stored: Option<StoredDocument>,
    rebuilt: Option<StoredDocument>,
) -> Result<Compared, StoreError> {
    let entity = |document: Option<StoredDocument>| -> Result<Option<Row>, StoreError> {
        document.map(|found| decode(&found)).transpose()
    };
    let value = |entity: &Row| serde_json::to_value(entity).unwrap_or_default();
    let whole =
        |entity: Option<Row>| entity.map(|entity| whole(&value(&entity), Row::HIDDEN_FIELDS));
    let rebuilt = entity(rebuilt)?;
    Ok(match (entity(stored), rebuilt) {
        (Ok(stored), rebuilt) if stored == rebuilt => {
            Compared { is_same: true, stored: Some(String::new()), rebuilt: Some(String::new()) }
        }
        (Ok(Some(stored)), Some(rebuilt)) => {
            let fields = differing_fields(&value(&stored), &value(&rebuilt), Row::HIDDEN_FIELDS);
            let [stored, rebuilt] = fields.map(Some);
            Compared { is_same: false, stored, rebuilt }
        }
        (Ok(stored), rebuilt) => {
            Compared { is_same: false, stored: whole(stored), rebuilt: whole(rebuilt) }
        }
        (Err(StoreError::Unreadable(reason)), rebuilt) => {
            let stored = Some(format!("{TEXT} cannot be read: {reason}"));
            Compared { is_same: false, stored, rebuilt: whole(rebuilt) }
        }
        (Err(error), _) => return Err(error),
    })
}

fn decode<Row: Entity + Document>(found: &StoredDocument) -> Result<Row, StoreError> {
    match std::str::from_utf8(&found.text) {
        Ok(text) => document::decode(found.version, text),
        Err(_) => {
            Err(unreadable("the document of", format_args!("{} is not UTF-8", Row::TABLE.name)))
        }
    }
}

/// A stored row and the rebuilt one, where they differ by at least a byte. A pair is selected by
/// [`Projection::select_pairs`].
pub(crate) struct RowPair {
    stored: Option<RowCells>,
    rebuilt: Option<RowCells>,
}

/// A row's cells. Texts are bytes, because SQLite does not check that they are UTF-8.
struct RowCells {
    plain: Vec<Cell<'static>>,
    document: Option<StoredDocument>,
}

/// The stored row and the rebuilt one, in a line each. None: there is no such row.
pub(crate) struct RowDifference {
    pub(crate) stored: Option<String>,
    pub(crate) rebuilt: Option<String>,
}

/// How a database's SQL converts a column to the type that its cells are read with: texts to bytes,
/// and all numbers to 64 bits. (SQLite keeps numbers of any size in a column that has 32 bits on
/// Postgres.)
pub(crate) type Conversion = fn(Kind, &str) -> String;

impl Projection {
    /// The columns to select for a [`RowPair`], from `stored` and `rebuilt`.
    pub(crate) fn select_pairs(&self, convert: Conversion) -> String {
        let sides = SIDES.map(|side| {
            let shard = convert(Kind::Small, &format!("{side}.shard"));
            let columns = self.selected_columns().map(|(column, kind)| {
                format!("{} AS {side}_{column}", convert(kind, &format!("{side}.{column}")))
            });
            listed([format!("{shard} AS {side}_shard")].into_iter().chain(columns))
        });
        listed(sides.iter())
    }

    fn selected_columns(&self) -> impl Iterator<Item = (&'static str, Kind)> + '_ {
        let documents = [(VERSION, Kind::Small), (TEXT, Kind::Text)];
        let documents = documents.into_iter().filter(|_| self.documents.is_some());
        self.plain_columns.iter().copied().chain(documents)
    }

    /// Reads a pair.
    pub(crate) fn pair(&self, row: &impl StoredRow) -> Result<RowPair, StoreError> {
        let [stored, rebuilt] = SIDES.map(|side| self.cells(row, side));
        Ok(RowPair { stored: stored?, rebuilt: rebuilt? })
    }

    fn cells(&self, row: &impl StoredRow, side: &str) -> Result<Option<RowCells>, StoreError> {
        let name = |column: &str| format!("{side}_{column}");
        if row.optional_integer(&name("shard"))?.is_none() {
            return Ok(None);
        }
        let plain = self.plain_columns.iter().map(|(column, kind)| {
            Ok(match kind {
                Kind::Text | Kind::Bytes => row.optional_bytes(&name(column))?.into(),
                Kind::Integer | Kind::Small | Kind::Boolean => {
                    row.optional_integer(&name(column))?.into()
                }
            })
        });
        let plain = plain.collect::<Result<_, StoreError>>()?;
        let document = match &self.documents {
            None => None,
            Some(_) => Some(StoredDocument {
                version: row.integer(&name(VERSION))?,
                text: row.bytes(&name(TEXT))?,
            }),
        };
        Ok(Some(RowCells { plain, document }))
    }

    /// The difference. None: only the texts of the documents differ, and not their entities.
    pub(crate) fn difference(&self, pair: RowPair) -> Result<Option<RowDifference>, StoreError> {
        let RowPair { stored, rebuilt } = pair;
        let plain = |row: &Option<RowCells>| row.as_ref().map(|row| row.plain.clone());
        let [stored_cells, rebuilt_cells] = [plain(&stored), plain(&rebuilt)];
        let document = |row: Option<RowCells>| row.and_then(|row| row.document);
        let compared = match &self.documents {
            Some(documents) => (documents.compare)(document(stored), document(rebuilt))?,
            None => Compared { is_same: true, stored: None, rebuilt: None },
        };
        if self.documents.is_some() && compared.is_same && stored_cells == rebuilt_cells {
            return Ok(None);
        }
        let line = |cells: &Option<Vec<Cell<'_>>>, other: &Option<Vec<Cell<'_>>>, document| {
            let cells = cells.as_ref()?;
            let row = self.rendered(cells, other.as_deref());
            let document: Option<String> = document;
            let line = format!("{row} {}", document.unwrap_or_default());
            Some(with_hidden_escaped(line.trim_end()))
        };
        Ok(Some(RowDifference {
            stored: line(&stored_cells, &rebuilt_cells, compared.stored),
            rebuilt: line(&rebuilt_cells, &stored_cells, compared.rebuilt),
        }))
    }

    /// The plain columns as `column=value`, in one line, with texts in JSON. Bytes are not shown:
    /// they are digests, also of tokens.
    fn rendered(&self, cells: &[Cell<'_>], other: Option<&[Cell<'_>]>) -> String {
        let columns = self.plain_columns.iter().zip(cells).enumerate();
        let shown = columns.map(|(index, ((column, kind), cell))| {
            let value = match (kind, cell) {
                (Kind::Text, Cell::Bytes(text)) => {
                    serde_json::Value::from(String::from_utf8_lossy(text)).to_string()
                }
                (_, Cell::Integer(number)) => number.to_string(),
                (_, Cell::Null) => "null".to_owned(),
                _ => match other.is_some_and(|other| other[index] != *cell) {
                    true => HIDDEN_AND_DIFFERENT.to_owned(),
                    false => HIDDEN.to_owned(),
                },
            };
            format!("{column}={value}")
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    /// The statement that selects the newest version of a shard's documents, if the table has
    /// documents. `shard` is its parameter.
    pub(crate) fn select_newest(&self, shard: &str) -> Option<String> {
        let (table, newest) = (self.name, as_64_bits(&format!("max({VERSION})")));
        self.documents.as_ref()?;
        Some(format!("SELECT {newest} FROM {table} WHERE shard = {shard}"))
    }

    /// Refuses to rebuild if some documents are of a newer version, whose new fields would be lost.
    pub(crate) fn check_newest(&self, newest: Option<i64>) -> Result<(), StoreError> {
        let (Some(documents), Some(newest)) = (&self.documents, newest) else { return Ok(()) };
        document::check_version(self.name, newest, documents.version)
    }
}

fn as_64_bits(expression: &str) -> String {
    format!("CAST({expression} AS BIGINT)")
}
