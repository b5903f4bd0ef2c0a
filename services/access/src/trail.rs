//! An organization's audit trail is in two logs: its own shard's, and the keys' shard's. Here the
//! two are read as one, newest first. Pure.
//!
//! Decision: docs/decisions/the-audit-trail-is-a-reading-of-the-log.md

use keeptrusts_webhooks_contracts::api::AuditCursor;
use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_store::Record;

/// A record of the trail, and where whoever goes on after it goes on.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) record: Record,
    pub(crate) after: AuditCursor,
}

/// What was read of a log: its records, newest first, and the record at which the reading ended, which
/// may be the last of them or one that the filter passed over. None: the log's end.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) records: Vec<Record>,
    pub(crate) end: Option<Record>,
}

/// Entries, and where to go on. None: nothing comes after.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) entries: Vec<Entry>,
    pub(crate) next: Option<AuditCursor>,
}

/// What comes next of a log.
enum Next {
    Entry(Record),
    /// Nothing is known of what comes then.
    End(Record),
}

impl Next {
    fn time(&self) -> Timestamp {
        let (Next::Entry(record) | Next::End(record)) = self;
        record.recorded_at
    }
}

/// Merges what was read of each log, both from below `from`: the first `limit` entries, or those
/// until the reading of either log ended.
pub(crate) fn merge(own: Part, keys: Part, from: AuditCursor, limit: usize) -> Merged {
    let steps = |part: Part| {
        let entries = part.records.into_iter().map(Next::Entry);
        entries.chain(part.end.map(Next::End)).peekable()
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
            None => return Merged { entries, next: None },
            Some(Next::Entry(record)) => {
                *last = Some(record.name());
                entries.push(Entry { record, after });
            }
            Some(Next::End(record)) => {
                *last = Some(record.name());
                return Merged { entries, next: Some(after) };
            }
        }
    }
    Merged { entries, next: Some(after) }
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
    fn two_logs_are_read_as_one_and_any_entry_can_be_gone_on_from() {
        let own = || vec![record(9, 50), record(4, 30), record(2, 10)];
        let keys = || vec![record(7, 40), record(3, 30)];
        let whole = |records| Part { records, end: None };
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
    fn of_logs_that_were_read_in_part_no_entry_comes_before_a_newer_one() {
        // Two were read of each; the organization's own log goes on at second 45.
        let part = |records: [Record; 2]| {
            let end = Some(records[1].clone());
            Part { records: records.into(), end }
        };
        let (own, keys) =
            (part([record(9, 60), record(8, 50)]), part([record(7, 40), record(3, 30)]));
        let first = merge(own, keys, AuditCursor::END, 10);
        let order: Vec<_> = first.entries.iter().map(|entry| entry.record.position.0).collect();
        assert_eq!(order, [9, 8]);
        let next = first.next.expect("there may be more");
        assert_eq!(next.own, Some(record(8, 50).name()));
        assert_eq!(next.keys, None, "the keys' log is read from there again");
    }

    #[test]
    fn a_reading_that_passed_everything_over_goes_on_where_it_ended() {
        let own = Part { records: Vec::new(), end: Some(record(5, 45)) };
        let keys = || Part { records: vec![record(7, 50), record(3, 30)], end: None };
        let first = merge(own, keys(), AuditCursor::END, 10);
        assert_eq!(first.entries.len(), 1, "what is older than that waits");
        let next = first.next.expect("there may be more");
        assert_eq!(next.own, Some(record(5, 45).name()));
        assert_eq!(next.keys, Some(record(7, 50).name()));
        let rest = Part { records: vec![record(3, 30)], end: None };
        let last = merge(Part::default(), rest, next, 10);
        assert_eq!((last.entries.len(), last.next), (1, None));
    }
}
