-- Replays, and where in the log events were accepted. A replay is about the events below a
-- position: the column is a filter for rows that are found by their ids, whose time is that of the
-- acceptance but for the clocks, and has no index.
--
-- 0: not known. Only in rows that a process of an older version writes while versions change; such
-- an event has no trace in a replay and lies before every bound. `log rebuild` corrects it.
ALTER TABLE events ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
UPDATE events SET position = records.position
FROM records
WHERE records.shard = events.shard
  AND records.stream = 'event/' || events.event_id
  AND records.version = 1;
-- A test's event has no stream of its own: it is in the record that the delivery begins with.
UPDATE events SET position = records.position
FROM deliveries JOIN records
    ON records.shard = deliveries.shard
    AND records.stream = 'delivery/' || deliveries.delivery_id
    AND records.version = 1
WHERE events.event_type = 'webhook.test'
  AND deliveries.shard = events.shard
  AND deliveries.event_id = events.event_id;

CREATE TABLE replays (
    shard                  INTEGER NOT NULL,
    organization_id        TEXT NOT NULL,
    replay_id              TEXT NOT NULL,
    endpoint_id            TEXT NOT NULL,
    scope                  TEXT    NOT NULL, -- missed, failed, all
    start_time             INTEGER,
    end_time               INTEGER,
    start_event_id         TEXT,
    start_position         INTEGER,
    end_event_id           TEXT,
    end_position           INTEGER,
    event_types            TEXT    NOT NULL, -- separated by commas; empty: every type
    include_delivered      INTEGER NOT NULL,
    deliveries_per_second  INTEGER NOT NULL,
    matched_count          INTEGER  NOT NULL,
    state                  TEXT    NOT NULL, -- running, done, cancelled
    scheduled_count        INTEGER  NOT NULL,
    resumed_count          INTEGER  NOT NULL,
    skipped_count          INTEGER  NOT NULL,
    expired_count          INTEGER  NOT NULL,
    cursor                 TEXT    NOT NULL,
    position               INTEGER  NOT NULL, -- of the record that asks for it
    creator                TEXT    NOT NULL,
    create_time            INTEGER  NOT NULL,
    finish_time            INTEGER,
    end_reason             TEXT    NOT NULL,
    version                INTEGER  NOT NULL,
    PRIMARY KEY (shard, organization_id, replay_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX replays_running ON replays (shard, replay_id) WHERE state = 'running';
