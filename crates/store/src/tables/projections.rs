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

use super::document::{self, TEXT, VERSION};
use super::document_difference::{differing_fields, whole};
use super::{Entity, Purpose, listed};
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
    pub(crate) plain_columns: Vec<&'static str>,
    documents: Option<Documents>,
}

/// The documents of a table, with the type of their entity erased.
struct Documents {
    version: u16,
    compare: fn(Option<StoredDocument>, Option<StoredDocument>) -> Result<Compared, StoreError>,
}

struct StoredDocument {
    version: i64,
    text: String,
}

struct Compared {
    is_same: bool,
    /// For people to read, without secrets.
    stored: Option<String>,
    rebuilt: Option<String>,
}

/// All projections.
pub(crate) fn projections() -> [Projection; 13] {
    fn of<Row: Entity>() -> Projection {
        let columns = Row::TABLE.columns.iter();
        let plain = columns.clone().filter(|column| column.purpose != Purpose::Document);
        Projection {
            name: Row::TABLE.name,
            key: Row::TABLE.key().map(|column| column.name).collect(),
            columns: columns.map(|column| column.name).collect(),
            plain_columns: plain.map(|column| column.name).collect(),
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
    ]
}

/// A stored document that cannot be read is a difference: a rebuild replaces it. One of a newer
/// version is an error: a rebuild would lose its new fields.
fn compare<Row: Entity + Document>(
    stored: Option<StoredDocument>,
    rebuilt: Option<StoredDocument>,
) -> Result<Compared, StoreError> {
    let entity = |document: Option<StoredDocument>| -> Result<Option<Row>, StoreError> {
        document.map(|found| document::decode(found.version, &found.text)).transpose()
    };
    let value = |entity: &Row| serde_json::to_value(entity).unwrap_or_default();
    let whole = |entity: Option<Row>| entity.map(|entity| whole(&value(&entity)));
    let rebuilt = entity(rebuilt)?;
    Ok(match (entity(stored), rebuilt) {
        (Ok(stored), rebuilt) if stored == rebuilt => {
            Compared { is_same: true, stored: Some(String::new()), rebuilt: Some(String::new()) }
        }
        (Ok(Some(stored)), Some(rebuilt)) => {
            let fields = differing_fields(&value(&stored), &value(&rebuilt));
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

/// A stored row and the rebuilt one, where they differ by at least a byte.
#[derive(sqlx_macros::FromRow)]
pub(crate) struct RowPair {
    /// `column=value`, in one line, of the plain columns.
    stored: Option<String>,
    rebuilt: Option<String>,
    stored_document_version: Option<i64>,
    stored_document: Option<String>,
    rebuilt_document_version: Option<i64>,
    rebuilt_document: Option<String>,
}

/// The stored row and the rebuilt one, in a line each. None: there is no such row.
pub(crate) struct RowDifference {
    pub(crate) stored: Option<String>,
    pub(crate) rebuilt: Option<String>,
}

impl Projection {
    /// The columns to select for the documents of a [`RowPair`], from `stored` and `rebuilt`.
    pub(crate) fn select_documents(&self) -> String {
        let columns = ["stored", "rebuilt"].map(|side| {
            let version = as_64_bits(&format!("{side}.{VERSION}"));
            let columns = [(VERSION, version), (TEXT, format!("{side}.{TEXT}"))];
            let columns = columns.map(|(column, value)| match self.documents {
                Some(_) => format!("{value} AS {side}_{column}"),
                None => format!("NULL AS {side}_{column}"),
            });
            listed(columns.iter())
        });
        listed(columns.iter())
    }

    /// The difference. None: only the texts of the documents differ, and not their entities.
    pub(crate) fn difference(&self, pair: RowPair) -> Result<Option<RowDifference>, StoreError> {
        let RowPair { stored, rebuilt, .. } = pair;
        let Some(documents) = &self.documents else {
            return Ok(Some(RowDifference { stored, rebuilt }));
        };
        let document = |version: Option<i64>, text: Option<String>| {
            version.zip(text).map(|(version, text)| StoredDocument { version, text })
        };
        let compared = (documents.compare)(
            document(pair.stored_document_version, pair.stored_document),
            document(pair.rebuilt_document_version, pair.rebuilt_document),
        )?;
        if compared.is_same && stored == rebuilt {
            return Ok(None);
        }
        let with = |columns: Option<String>, document: Option<String>| {
            columns
                .zip(document)
                .map(|(columns, document)| format!("{columns} {document}").trim_end().to_owned())
        };
        let stored = with(stored, compared.stored);
        let rebuilt = with(rebuilt, compared.rebuilt);
        Ok(Some(RowDifference { stored, rebuilt }))
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

/// SQLite keeps numbers of any size in a column that has 32 bits on Postgres.
fn as_64_bits(expression: &str) -> String {
    format!("CAST({expression} AS BIGINT)")
}
