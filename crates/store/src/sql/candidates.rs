//! The rows of a replay's statement.

use keeptrusts_webhooks_contracts::log_codec::Metadata;
use keeptrusts_webhooks_domain::log::Version;
use keeptrusts_webhooks_domain::replay::ReplayCursor;
use keeptrusts_webhooks_domain::trace::TraceContext;
use sqlx_macros::FromRow;

use crate::error::StoreError;
use crate::queries::replay_candidates::{Candidate, CandidateDelivery, CandidatePage};
use crate::tables::{ReadableRow, parse, time, word};

type Unreadable<T> = Result<T, StoreError>;

impl CandidatePage {
    /// The page of the scanned rows, of which there are at most `limit`.
    pub(crate) fn of(rows: Vec<CandidateRow>, limit: usize) -> Result<CandidatePage, StoreError> {
        let last = rows.last().filter(|_| rows.len() >= limit);
        let next = last.map(CandidateRow::cursor).transpose()?;
        let wanted = rows.into_iter().filter(|row| row.wanted);
        let candidates = wanted.map(CandidateRow::value).collect::<Result<_, _>>()?;
        Ok(CandidatePage { candidates, next })
    }
}

/// A row that a replay has scanned. The columns after `event_id` are only filled if it is wanted.
#[derive(FromRow)]
pub(crate) struct CandidateRow {
    pub(crate) cursor: String,
    pub(crate) wanted: bool,
    pub(crate) event_id: String,
    pub(crate) event_type: Option<String>,
    pub(crate) event_time: Option<i64>,
    pub(crate) metadata: Option<Vec<u8>>,
    pub(crate) delivery_id: Option<String>,
    pub(crate) delivery_state: Option<String>,
    pub(crate) delivery_version: Option<i64>,
    pub(crate) kept: bool,
}

impl CandidateRow {
    pub(crate) fn cursor(&self) -> Unreadable<ReplayCursor> {
        parse("cursor", &self.cursor)
    }
}

impl ReadableRow for CandidateRow {
    type Value = Candidate;

    fn value(self) -> Unreadable<Candidate> {
        let delivery = match (&self.delivery_id, &self.delivery_state, self.delivery_version) {
            (Some(id), Some(state), Some(version)) => Some(CandidateDelivery {
                id: parse("delivery", id)?,
                state: word(state)?,
                version: Version(version),
            }),
            _ => None,
        };
        Ok(Candidate {
            cursor: self.cursor()?,
            event_id: parse("event", &self.event_id)?,
            event_type: parse("event type", self.event_type.as_deref().unwrap_or_default())?,
            event_time: self.event_time.map(time).transpose()?,
            trace: trace_of(self.metadata.as_deref())?,
            delivery,
            is_kept: self.kept,
        })
    }
}

/// The trace context of an acceptance, from the metadata of its record.
fn trace_of(metadata: Option<&[u8]>) -> Result<Option<TraceContext>, StoreError> {
    let Some(metadata) = metadata else { return Ok(None) };
    let decoded = Metadata::decode(metadata);
    Ok(decoded.map_err(|error| StoreError::Unreadable(format!("metadata: {error}")))?.trace)
}
