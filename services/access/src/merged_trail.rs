//! Merges the two logs that an organization's audit trail is in, its own shard's and the keys'
//! shard's, into one trail, newest first. Pure.
//!
//! Decision: docs/decisions/the-audit-trail-is-a-reading-of-the-log.md

use keeptrusts_webhooks_contracts::api::AuditCursor;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_store::Record;

/// A record of the trail, and the cursor after it.
#[derive(Debug)]
pub(crate) struct TrailEntry {
    pub(crate) record: Record,
    pub(crate) after: AuditCursor,
}

/// A page that was read from one log.
#[derive(Debug, Default)]
pub(crate) struct LogPage {
    /// The newest first.
    pub(crate) records: Vec<Record>,
    /// The oldest record that was read. It may be the last of `records`, or one that the filter has
    /// excluded. None: the page ends at the beginning of the log.
    pub(crate) end: Option<Record>,
}

#[derive(Debug)]
pub(crate) struct TrailPage {
    pub(crate) entries: Vec<TrailEntry>,
    /// None: there are no older entries.
    pub(crate) next: Option<AuditCursor>,
}

/// A step through one log's page.
enum Step {
    Entry(Record),
    /// The page ends here, and older records are not known.
    PageEnd(Record),
}

impl Step {
    fn time(&self) -> Timestamp {
        let (Step::Entry(record) | Step::PageEnd(record)) = self;
        record.recorded_at
    }
}

/// Merges a page of each log, both read from below `from`. Ends after `limit` entries, or where
/// either page ends: an older entry of the other log may not come before unknown records.
pub(crate) fn merge(own: LogPage, keys: LogPage, from: AuditCursor, limit: usize) -> TrailPage {
    let steps = |page: LogPage| {
        let entries = page.records.into_iter().map(Step::Entry);
        entries.chain(page.end.map(Step::PageEnd)).peekable()
    };
    let (mut own, mut keys) = (steps(own), steps(keys));
    let mut after = from;
    let mut entries = Vec::new();
    while entries.len() < limit {
        let is_own = match (own.peek(), keys.peek()) {
            (Some(own), Some(key)) => own.time() >= key.time(),
            (is_there, _) => is_there.is_some(),
        };
        let (next, last) = match is_own {
            true => (own.next(), &mut after.own),
            false => (keys.next(), &mut after.keys),
        };
        match next {
            None => return TrailPage { entries, next: None },
            Some(Step::Entry(record)) => {
                *last = Some(record.name());
                entries.push(TrailEntry { record, after });
            }
            Some(Step::PageEnd(record)) => {
                *last = Some(record.name());
                return TrailPage { entries, next: Some(after) };
            }
        }
    }
    TrailPage { entries, next: Some(after) }
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_contracts::log_codec::Metadata;
    use keeptrusts_webhooks_domain::fact::{EndpointFact, Fact};
    use keeptrusts_webhooks_domain::ids::{EndpointId, OperationId};
    use keeptrusts_webhooks_domain::log::{Position, RecordName, Stream, Version};

    use super::*;

    fn record(position: i64, second: i64) -> Record {
        Record {
            position: Position(position),
            stream: Stream::Endpoint(EndpointId::MIN),
            version: Version(position),
            organization_id: "acme".parse().expect("an id"),
            fact: Fact::Endpoint(EndpointFact::Enabled),
            metadata: Metadata::default(),
            recorded_at: Timestamp::from_second(second).expect("a time"),
            operation_id: OperationId::MIN,
        }
    }

    #[test]
    fn two_logs_are_merged_by_time_and_a_page_can_begin_after_any_entry() {
        let own = || vec![record(9, 50), record(4, 30), record(2, 10)];
        let keys = || vec![record(7, 40), record(3, 30)];
        let whole = |records| LogPage { records, end: None };
        let merged = merge(whole(own()), whole(keys()), AuditCursor::END, usize::MAX);
        assert_eq!(merged.next, None);
        let all = merged.entries;
        let order: Vec<_> = all.iter().map(|entry| entry.record.position.0).collect();
        assert_eq!(order, [9, 7, 4, 3, 2]);

        for (index, entry) in all.iter().enumerate() {
            let below = |records: Vec<Record>, last: Option<RecordName>| {
                let position = |name| records.iter().find(|record| record.name() == name);
                let end = last.and_then(position).map_or(i64::MAX, |record| record.position.0);
                records.into_iter().filter(|record| record.position.0 < end).collect()
            };
            let (own, keys) = (below(own(), entry.after.own), below(keys(), entry.after.keys));
            let rest = merge(whole(own), whole(keys), entry.after, usize::MAX).entries;
            let rest = rest.iter().map(|entry| entry.record.position);
            assert!(rest.eq(all[index + 1..].iter().map(|entry| entry.record.position)));
        }
    }

    #[test]
    fn a_page_ends_where_newer_records_of_the_other_log_may_be_unread() {
        // Two records were read of each log; the organization's log continues at second 45.
        let part = |records: [Record; 2]| {
            let end = Some(records[1].clone());
            LogPage { records: records.into(), end }
        };
        let (own, keys) =
            (part([record(9, 60), record(8, 50)]), part([record(7, 40), record(3, 30)]));
        let first = merge(own, keys, AuditCursor::END, 10);
        let order: Vec<_> = first.entries.iter().map(|entry| entry.record.position.0).collect();
        assert_eq!(order, [9, 8]);
        let next = first.next.expect("there may be more");
        assert_eq!(next.own, Some(record(8, 50).name()));
        assert_eq!(next.keys, None, "the keys' log is read again from the same record");
    }

    #[test]
    fn a_page_whose_records_are_all_excluded_continues_where_it_ended() {
        let own = LogPage { records: Vec::new(), end: Some(record(5, 45)) };
        let keys = || LogPage { records: vec![record(7, 50), record(3, 30)], end: None };
        let first = merge(own, keys(), AuditCursor::END, 10);
        assert_eq!(first.entries.len(), 1, "older entries wait for the next page");
        let next = first.next.expect("there may be more");
        assert_eq!(next.own, Some(record(5, 45).name()));
        assert_eq!(next.keys, Some(record(7, 50).name()));
        let rest = LogPage { records: vec![record(3, 30)], end: None };
        let last = merge(LogPage::default(), rest, next, 10);
        assert_eq!((last.entries.len(), last.next), (1, None));
    }
}
