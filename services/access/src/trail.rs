//! An organization's audit trail is in two logs: its own shard's, and the keys' shard's. Here the
//! two are read as one, newest first. Pure.

use std::iter::Peekable;
use std::vec::IntoIter;

use keeptrusts_webhooks_contracts::api::AuditCursor;
use keeptrusts_webhooks_store::Record;

/// A record of the trail, and where whoever goes on after it goes on.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) record: Record,
    pub(crate) after: AuditCursor,
}

/// Merges what was read of each log, both newest first, both from below `from`: the first `limit`
/// of them, if no fewer were read of a log that has them. What is further down may lack entries of
/// the log whose records ended before.
pub(crate) fn merge(
    own: Vec<Record>,
    keys: Vec<Record>,
    from: AuditCursor,
    limit: usize,
) -> Vec<Entry> {
    let mut own = own.into_iter().peekable();
    let mut keys = keys.into_iter().peekable();
    let mut after = from;
    let mut merged = Vec::with_capacity(own.len() + keys.len());
    while let Some(is_own) = is_own_newer(&mut own, &mut keys) {
        let Some(record) = (if is_own { own.next() } else { keys.next() }) else { break };
        match is_own {
            true => after.own = Some(record.name()),
            false => after.keys = Some(record.name()),
        }
        merged.push(Entry { record, after });
        if merged.len() == limit {
            break;
        }
    }
    merged
}

/// Whether the next one is of the organization's own log. None: both are at their ends.
fn is_own_newer(
    own: &mut Peekable<IntoIter<Record>>,
    keys: &mut Peekable<IntoIter<Record>>,
) -> Option<bool> {
    match (own.peek(), keys.peek()) {
        (Some(own), Some(key)) => Some(own.recorded_at >= key.recorded_at),
        (Some(_), None) => Some(true),
        (None, Some(_)) => Some(false),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_contracts::log_codec::Metadata;
    use keeptrusts_webhooks_domain::Timestamp;
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
        let all = merge(own(), keys(), AuditCursor::END, usize::MAX);
        let order: Vec<_> = all.iter().map(|entry| entry.record.position.0).collect();
        assert_eq!(order, [9, 7, 4, 3, 2]);

        for (index, entry) in all.iter().enumerate() {
            let below = |records: Vec<Record>, last: Option<RecordName>| {
                let position = |name| records.iter().find(|record| record.name() == name);
                let end = last.and_then(position).map_or(i64::MAX, |record| record.position.0);
                records.into_iter().filter(|record| record.position.0 < end).collect()
            };
            let (own, keys) = (below(own(), entry.after.own), below(keys(), entry.after.keys));
            let rest = merge(own, keys, entry.after, usize::MAX);
            let rest = rest.iter().map(|entry| entry.record.position);
            assert!(rest.eq(all[index + 1..].iter().map(|entry| entry.record.position)));
        }
    }

    #[test]
    fn of_logs_that_were_read_in_part_no_entry_comes_before_a_newer_one() {
        // Two were read of each; the organization's own log goes on at second 45.
        let (own, keys) = (vec![record(9, 60), record(8, 50)], vec![record(7, 40), record(3, 30)]);
        let first = merge(own, keys, AuditCursor::END, 2);
        let order: Vec<_> = first.iter().map(|entry| entry.record.position.0).collect();
        assert_eq!(order, [9, 8]);
        assert_eq!(first[1].after.keys, None, "the keys' log is read from there again");
    }
}
