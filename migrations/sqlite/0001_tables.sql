-- The log, the bodies, and the projections of the log.
--
-- The same tables as on Postgres (migrations/postgres), for the one process that has the file
-- open: there are no leases to expire and no other members. Tables of small rows are clustered
-- by their primary key (WITHOUT ROWID), which saves a second B-tree.
-- Times are microseconds since 1970-01-01 UTC. Ids are their text.

-- What belongs to the whole database. One row.
CREATE TABLE database (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    shard_count    INTEGER NOT NULL,
    master_key_id  TEXT -- the current one
) STRICT;

-- The master keys that others have replaced: none becomes current again.
CREATE TABLE replaced_master_keys (
    master_key_id  TEXT PRIMARY KEY,
    replace_time   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row for each shard; every append locks it first.
CREATE TABLE shards (
    shard              INTEGER PRIMARY KEY,
    last_position      INTEGER NOT NULL DEFAULT 0,
    checkpoint         INTEGER NOT NULL DEFAULT 0,
    epoch              INTEGER NOT NULL DEFAULT 0,
    -- Where the shard's steady clock stood when an owner last wrote it down, and when that was by
    -- the database's clock. Waits are measured by it, and no step of a wall clock moves it; the next
    -- owner goes on from there. NULL: no owner has yet.
    steady_time           INTEGER,
    steady_time_noted_at  INTEGER,
    -- Encrypts the positions that clients are given, so that they do not show how much others record.
    -- 32 bytes; it never changes.
    position_key       BLOB NOT NULL DEFAULT (randomblob(32)),
    -- What tells whether a write-ahead log beside the file was written for it, and whether one is
    -- missing (crates/store/src/sqlite/marks.rs). In the row that every append changes in any case,
    -- so that it costs no page of the write-ahead log.
    commits            INTEGER NOT NULL DEFAULT 0, -- transactions that wrote
    opening            TEXT, -- by which process's opening of the file
    previous_opening   TEXT, -- which one the file was written by before
    is_closed          INTEGER NOT NULL DEFAULT 1  -- 0: not all may be in the file itself
) STRICT;

-- The log. Append-only: rows are never updated or deleted.
CREATE TABLE records (
    shard            INTEGER NOT NULL,
    position         INTEGER NOT NULL,
    stream           TEXT NOT NULL,
    version          INTEGER NOT NULL,
    kind             TEXT NOT NULL,
    organization_id  TEXT NOT NULL,
    data             BLOB NOT NULL,
    metadata         BLOB NOT NULL,
    recorded_at      INTEGER NOT NULL,
    operation_id     TEXT NOT NULL,
    audit_action     TEXT, -- for records that the audit trail shows, and so is the next
    actor            TEXT,
    PRIMARY KEY (shard, position)
) STRICT;
CREATE UNIQUE INDEX records_stream ON records (shard, stream, version);
CREATE INDEX records_audit ON records (shard, organization_id, position)
    WHERE audit_action IS NOT NULL;

-- Content that expires. Not a projection: a rebuild leaves it alone.
CREATE TABLE bodies (
    shard        INTEGER NOT NULL,
    id           TEXT NOT NULL,
    content      BLOB NOT NULL,
    expire_time  INTEGER NOT NULL,
    PRIMARY KEY (shard, id)
) STRICT;
CREATE INDEX bodies_expiry ON bodies (shard, expire_time);

-- The key of each organization's secrets, wrapped under a master key. Neither in the log, which
-- is never changed, nor a projection, so that it can be erased: with its key, an organization's
-- secrets are gone. The row stays, so that the organization does not get another key.
CREATE TABLE data_keys (
    shard            INTEGER NOT NULL,
    organization_id  TEXT NOT NULL,
    data_key_id      TEXT, -- NULL: erased before there was one
    master_key_id    TEXT, -- NULL, as are the next two: erased
    nonce            BLOB,
    wrapped          BLOB,
    create_time      INTEGER NOT NULL,
    erase_time       INTEGER,
    PRIMARY KEY (shard, organization_id)
) STRICT, WITHOUT ROWID;

-- When keys were last used. Not a projection: uses are no records. Only on the keys' shard.
CREATE TABLE key_uses (
    shard          INTEGER NOT NULL,
    key_id         TEXT NOT NULL,
    last_use_time  INTEGER NOT NULL,
    PRIMARY KEY (shard, key_id)
) STRICT, WITHOUT ROWID;

-- Projections from here on. `log rebuild` drops and refolds them.
--
-- Of configuration and small state, a row is its key, what statements search, and the entity as a
-- document: JSON, for people to read as well. Programs read the entity from the document alone, so
-- that a field more needs no column. The document's version tells an older program that it must not
-- touch it.

CREATE TABLE endpoints (
    shard             INTEGER NOT NULL,
    organization_id   TEXT NOT NULL,
    endpoint_id       TEXT NOT NULL,
    display_name      TEXT NOT NULL,
    url               TEXT NOT NULL,
    state             TEXT NOT NULL, -- active, disabled, degraded
    delete_time       INTEGER,
    document_version  INTEGER NOT NULL,
    document          TEXT NOT NULL,
    PRIMARY KEY (shard, organization_id, endpoint_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX endpoints_id ON endpoints (shard, endpoint_id);
-- Few are disabled. Lists of deliveries ask which.
CREATE INDEX endpoints_disabled ON endpoints (shard, organization_id, endpoint_id)
    WHERE state = 'disabled' AND delete_time IS NULL;

CREATE TABLE events (
    shard            INTEGER NOT NULL,
    organization_id  TEXT NOT NULL,
    event_id         TEXT NOT NULL,
    event_type       TEXT NOT NULL,
    is_test          INTEGER NOT NULL, -- of whatever type; no replay sends it
    event_time       INTEGER NOT NULL,
    create_time      INTEGER NOT NULL,
    body_sha256      BLOB NOT NULL,
    body_size        INTEGER NOT NULL,
    idempotency_key  TEXT,
    request_sha256   BLOB,
    trace_id         TEXT,
    publisher        TEXT NOT NULL,
    -- Of the record of its acceptance. A replay is about the events below a position: a filter for
    -- rows that are found by their ids, whose time is that of the acceptance but for the clocks. It
    -- has no index.
    position         INTEGER NOT NULL,
    PRIMARY KEY (shard, organization_id, event_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX events_idempotency ON events (shard, organization_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE deliveries (
    shard               INTEGER NOT NULL,
    organization_id     TEXT NOT NULL,
    delivery_id         TEXT NOT NULL,
    event_id            TEXT NOT NULL,
    event_type          TEXT NOT NULL,
    is_test             INTEGER NOT NULL,
    event_time          INTEGER, -- NULL: the event's body has it
    endpoint_id         TEXT NOT NULL,
    state               TEXT NOT NULL, -- scheduled, retrying, delivered, failed, cancelled
    attempt_count       INTEGER NOT NULL,
    automatic_count     INTEGER NOT NULL,
    next_attempt_time   INTEGER, -- as people are told
    -- When that attempt is made, on the steady clock. NULL: nothing was said, and it is
    -- next_attempt_time.
    steady_due_time     INTEGER,
    retry_request_time  INTEGER,
    -- The delivery's place in its endpoint's queue, on the steady clock; 0 for what somebody asks
    -- for (a manual retry, a test), which goes first.
    due_time            INTEGER,
    retry_traceparent   TEXT, -- the call that asked for the manual retry that was not made yet
    replay_traceparent  TEXT, -- the call that asked for the replay that made or resumed it
    traceparent         TEXT,
    tracestate          TEXT, -- what came beside the event's traceparent
    create_time         INTEGER NOT NULL,
    cancel_reason       TEXT NOT NULL,
    version             INTEGER NOT NULL,
    PRIMARY KEY (shard, organization_id, delivery_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (shard, endpoint_id, due_time, delivery_id)
    WHERE due_time IS NOT NULL;
CREATE INDEX deliveries_endpoint ON deliveries (shard, endpoint_id, delivery_id);
CREATE INDEX deliveries_event ON deliveries (shard, event_id);

CREATE TABLE attempts (
    shard              INTEGER NOT NULL,
    organization_id    TEXT NOT NULL,
    attempt_id         TEXT NOT NULL,
    delivery_id        TEXT NOT NULL,
    event_id           TEXT NOT NULL,
    event_type         TEXT NOT NULL,
    endpoint_id        TEXT NOT NULL,
    number             INTEGER NOT NULL,
    automatic_count    INTEGER NOT NULL,
    trigger            TEXT NOT NULL, -- automatic, manual, test
    start_time         INTEGER NOT NULL,
    duration           INTEGER NOT NULL, -- microseconds
    status_code        INTEGER,
    exchange_sha256    BLOB NOT NULL,
    exchange_size      INTEGER NOT NULL,
    outcome            TEXT NOT NULL, -- delivered, retrying, failed
    error              TEXT NOT NULL,
    next_attempt_time  INTEGER,
    remark             TEXT NOT NULL, -- what was out of the ordinary, for people to read
    PRIMARY KEY (shard, organization_id, attempt_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_delivery ON attempts (shard, delivery_id, attempt_id);
CREATE INDEX attempts_endpoint ON attempts (shard, endpoint_id, attempt_id);

-- Events that a disabled endpoint was not sent.
CREATE TABLE missed_events (
    shard            INTEGER NOT NULL,
    endpoint_id      TEXT NOT NULL,
    position         INTEGER NOT NULL, -- of the record that says so
    organization_id  TEXT NOT NULL,
    event_id         TEXT NOT NULL,
    PRIMARY KEY (shard, endpoint_id, position)
) STRICT, WITHOUT ROWID;

-- Attempts counted, for statistics. Tests are not counted.
CREATE TABLE attempt_counts (
    shard            INTEGER NOT NULL,
    endpoint_id      TEXT NOT NULL,
    hour             INTEGER NOT NULL,
    outcome          TEXT NOT NULL,
    duration_bucket  INTEGER NOT NULL,
    count            INTEGER NOT NULL,
    PRIMARY KEY (shard, endpoint_id, hour, outcome, duration_bucket)
) STRICT, WITHOUT ROWID;

-- API keys and sessions, all on one shard. `*` is every organization.
CREATE TABLE keys (
    shard             INTEGER NOT NULL,
    key_id            TEXT NOT NULL,
    organization_id   TEXT NOT NULL,
    token_sha256      BLOB NOT NULL,
    is_session        INTEGER NOT NULL,
    creator           TEXT NOT NULL,
    document_version  INTEGER NOT NULL,
    document          TEXT NOT NULL,
    PRIMARY KEY (shard, key_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX keys_token ON keys (shard, token_sha256);
CREATE INDEX keys_organization ON keys (shard, organization_id, key_id);
CREATE INDEX keys_kind ON keys (shard, organization_id, is_session, key_id);
-- What a key has made is revoked with it, if that is asked for. The creator is a key's id, or who
-- else made it.
CREATE INDEX keys_creator ON keys (shard, creator, key_id);

-- Endpoints whose attempts have all failed since a time.
CREATE TABLE failing_endpoints (
    shard            INTEGER NOT NULL,
    organization_id  TEXT NOT NULL,
    endpoint_id      TEXT NOT NULL,
    since            INTEGER NOT NULL,
    delivery_id      TEXT NOT NULL, -- whose attempt was the first
    failures         INTEGER NOT NULL, -- attempts, so far
    PRIMARY KEY (shard, organization_id, endpoint_id)
) STRICT, WITHOUT ROWID;

-- The last pause that each receiver has asked for (429 or 503, with Retry-After), also if it is
-- over; gone when something else has ended it.
CREATE TABLE endpoint_pauses (
    shard            INTEGER NOT NULL,
    organization_id  TEXT NOT NULL,
    endpoint_id      TEXT NOT NULL,
    start_time       INTEGER NOT NULL,
    end_time         INTEGER NOT NULL,
    delivery_id      TEXT NOT NULL, -- that was answered
    status_code      INTEGER NOT NULL,
    PRIMARY KEY (shard, organization_id, endpoint_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE replays (
    shard             INTEGER NOT NULL,
    organization_id   TEXT NOT NULL,
    replay_id         TEXT NOT NULL,
    endpoint_id       TEXT NOT NULL,
    state             TEXT NOT NULL, -- running, done, cancelled
    document_version  INTEGER NOT NULL,
    document          TEXT NOT NULL,
    PRIMARY KEY (shard, organization_id, replay_id)
) STRICT, WITHOUT ROWID;
-- The other columns are for counting alone.
CREATE INDEX replays_running ON replays (shard, replay_id, organization_id, endpoint_id) WHERE state = 'running';

-- Notification channels, and what they are told.

CREATE TABLE channels (
    shard             INTEGER NOT NULL,
    organization_id   TEXT NOT NULL,
    channel_id        TEXT NOT NULL,
    delete_time       INTEGER,
    document_version  INTEGER NOT NULL,
    document          TEXT NOT NULL,
    PRIMARY KEY (shard, organization_id, channel_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX channels_id ON channels (shard, channel_id) WHERE delete_time IS NULL;

CREATE TABLE notifications (
    shard               INTEGER NOT NULL,
    organization_id     TEXT NOT NULL,
    notification_id     TEXT NOT NULL,
    channel_id          TEXT NOT NULL,
    type                TEXT NOT NULL, -- delivery_exhausted, endpoint_degraded, …, test
    state               TEXT NOT NULL, -- waiting, sent, failed, withdrawn
    due_time            INTEGER, -- NULL: it has ended
    end_time            INTEGER,
    cause               INTEGER NOT NULL, -- the position of the last record that it tells of; 0: none
    attempt_start_time  INTEGER, -- of the last attempt
    attempt_recipients  INTEGER NOT NULL, -- of the last attempt, if it was a mail. 0: it was none
    document_version    INTEGER NOT NULL,
    document            TEXT NOT NULL,
    PRIMARY KEY (shard, organization_id, notification_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX notifications_due ON notifications (shard, channel_id, due_time, notification_id)
    WHERE due_time IS NOT NULL;
CREATE INDEX notifications_channel ON notifications (shard, channel_id, notification_id);
CREATE INDEX notifications_cause ON notifications (shard, cause) WHERE cause > 0;
CREATE INDEX notifications_told ON notifications (shard, end_time)
    WHERE type = 'delivery_exhausted' AND end_time IS NOT NULL;
CREATE INDEX notifications_mail ON notifications (shard, organization_id, attempt_start_time)
    WHERE attempt_recipients > 0;

-- The incidents of endpoints at the services of channels, by positions of the log that only grow.
CREATE TABLE incidents (
    shard            INTEGER NOT NULL,
    organization_id  TEXT NOT NULL,
    channel_id       TEXT NOT NULL,
    endpoint_id      TEXT NOT NULL,
    opened           INTEGER NOT NULL, -- the last record of trouble that is told; 0: none
    closing          INTEGER NOT NULL, -- the last record that ended it; 0: none
    closed           INTEGER NOT NULL, -- the last of those that was told; 0: none
    PRIMARY KEY (shard, organization_id, channel_id, endpoint_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX incidents_open ON incidents (shard) WHERE opened > closed;

-- The last request with each id that a caller has given one (AIP-155), so that it is safe to send it
-- again: for a day, a repetition makes nothing, and is answered with what the first one made. A later
-- request with the same id replaces the row.
CREATE TABLE requests (
    shard            INTEGER NOT NULL,
    organization_id  TEXT NOT NULL,
    request_id       TEXT NOT NULL,
    request_sha256   BLOB NOT NULL, -- of the method, the caller and the content
    stream           TEXT NOT NULL, -- what its record is about
    recorded_at      INTEGER NOT NULL,
    PRIMARY KEY (shard, organization_id, request_id)
) STRICT, WITHOUT ROWID;
