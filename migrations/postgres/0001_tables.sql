-- The log, the bodies, and the projections of the log.
--
-- Every primary key begins with shard, every statement names its shard, and a transaction
-- touches one shard only, so that the tables can be distributed by shard, with Citus for example.
-- Times are microseconds since 1970-01-01 UTC. Ids are their text, compared byte by byte: their
-- order is that of their times, which a language's rules need not keep, and an index does not
-- depend on a version of the system's library.
--
-- Indexes beside the primary keys begin with what is looked for, not with shard, unless they are
-- partial or unique. So rows whose key is given can be found through the primary key only. While
-- a table is new, Postgres knows nothing of it, takes one index for as good as the other, and
-- keeps to its choice when the table has grown. Where that is an id that clients may have made, shard
-- is next, so that nobody has to read past the rows of others who chose the same id on another shard.

-- What belongs to the whole database. One row.
CREATE TABLE database (
    id             INTEGER PRIMARY KEY CHECK (id = 1),
    shard_count    INTEGER NOT NULL,
    master_key_id  TEXT -- the current one
);

-- The master keys that others have replaced: none becomes current again.
CREATE TABLE replaced_master_keys (
    master_key_id  TEXT PRIMARY KEY,
    replace_time   BIGINT NOT NULL
);

-- The dispatch processes that are alive.
CREATE TABLE dispatch_members (
    member          TEXT PRIMARY KEY,
    expire_time     BIGINT NOT NULL
);

-- One row for each shard; every append locks it first.
CREATE TABLE shards (
    shard              INTEGER PRIMARY KEY,
    last_position      BIGINT NOT NULL DEFAULT 0,
    checkpoint         BIGINT NOT NULL DEFAULT 0,
    epoch              BIGINT NOT NULL DEFAULT 0,
    lease_owner        TEXT,
    lease_expire_time  BIGINT,
    -- Where the shard's steady clock stood when an owner last wrote it down, and when that was by
    -- the database's clock. Waits are measured by it, and no step of a wall clock moves it; the next
    -- owner goes on from there. NULL: no owner has yet.
    steady_time           BIGINT,
    steady_time_noted_at  BIGINT,
    -- Encrypts the positions that clients are given, so that they do not show how much others record.
    -- 32 bytes; it never changes.
    position_key       BYTEA NOT NULL
        DEFAULT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex')
) WITH (fillfactor = 50);

-- The log. Append-only: rows are never updated or deleted.
CREATE TABLE records (
    shard            INTEGER NOT NULL,
    position         BIGINT  NOT NULL,
    stream           TEXT COLLATE "C" NOT NULL,
    version          BIGINT  NOT NULL,
    kind             TEXT NOT NULL,
    organization_id  TEXT COLLATE "C" NOT NULL,
    data             BYTEA   NOT NULL,
    metadata         BYTEA   NOT NULL,
    recorded_at      BIGINT  NOT NULL,
    operation_id     TEXT COLLATE "C" NOT NULL,
    audit_action     TEXT, -- for records that the audit trail shows, and so is the next
    actor            TEXT,
    PRIMARY KEY (shard, position)
);
CREATE UNIQUE INDEX records_stream ON records (shard, stream, version);
CREATE INDEX records_audit ON records (shard, organization_id, position)
    WHERE audit_action IS NOT NULL;

-- Content that expires. Not a projection: a rebuild leaves it alone.
CREATE TABLE bodies (
    shard        INTEGER NOT NULL,
    id           TEXT COLLATE "C" NOT NULL,
    content      BYTEA   NOT NULL,
    expire_time  BIGINT  NOT NULL,
    PRIMARY KEY (shard, id)
);
CREATE INDEX bodies_expiry ON bodies (expire_time);

-- The key of each organization's secrets, wrapped under a master key. Neither in the log, which
-- is never changed, nor a projection, so that it can be erased: with its key, an organization's
-- secrets are gone. The row stays, so that the organization does not get another key.
CREATE TABLE data_keys (
    shard            INTEGER NOT NULL,
    organization_id  TEXT COLLATE "C" NOT NULL,
    data_key_id      TEXT, -- NULL: erased before there was one
    master_key_id    TEXT, -- NULL, as are the next two: erased
    nonce            BYTEA,
    wrapped          BYTEA,
    create_time      BIGINT NOT NULL,
    erase_time       BIGINT,
    PRIMARY KEY (shard, organization_id)
);

-- When keys were last used. Not a projection: uses are no records. Only on the keys' shard.
CREATE TABLE key_uses (
    shard          INTEGER NOT NULL,
    key_id         TEXT COLLATE "C" NOT NULL,
    last_use_time  BIGINT NOT NULL,
    PRIMARY KEY (shard, key_id)
);

-- Projections from here on. `log rebuild` drops and refolds them.
--
-- Of configuration and small state, a row is its key, what statements search, and the entity as a
-- document: JSON, for people to read as well. Programs read the entity from the document alone, so
-- that a field more needs no column. The document's version tells an older program that it must not
-- touch it.

CREATE TABLE endpoints (
    shard             INTEGER NOT NULL,
    organization_id   TEXT COLLATE "C" NOT NULL,
    endpoint_id       TEXT COLLATE "C" NOT NULL,
    display_name      TEXT NOT NULL,
    url               TEXT NOT NULL,
    state             TEXT NOT NULL, -- active, disabled, degraded
    delete_time       BIGINT,
    document_version  INTEGER NOT NULL,
    document          TEXT NOT NULL,
    PRIMARY KEY (shard, organization_id, endpoint_id)
);
CREATE UNIQUE INDEX endpoints_id ON endpoints (shard, endpoint_id);
-- Few are disabled. Lists of deliveries ask which.
CREATE INDEX endpoints_disabled ON endpoints (shard, organization_id, endpoint_id)
    WHERE state = 'disabled' AND delete_time IS NULL;

CREATE TABLE events (
    shard            INTEGER NOT NULL,
    organization_id  TEXT COLLATE "C" NOT NULL,
    event_id         TEXT COLLATE "C" NOT NULL,
    event_type       TEXT NOT NULL,
    is_test          BOOLEAN NOT NULL, -- of whatever type; no replay sends it
    event_time       BIGINT  NOT NULL,
    create_time      BIGINT  NOT NULL,
    body_sha256      BYTEA   NOT NULL,
    body_size        BIGINT  NOT NULL,
    idempotency_key  TEXT COLLATE "C",
    request_sha256   BYTEA,
    trace_id         TEXT,
    publisher        TEXT NOT NULL,
    -- Of the record of its acceptance. A replay is about the events below a position: a filter for
    -- rows that are found by their ids, whose time is that of the acceptance but for the clocks. It
    -- has no index.
    position         BIGINT NOT NULL,
    PRIMARY KEY (shard, organization_id, event_id)
);
CREATE UNIQUE INDEX events_idempotency ON events (shard, organization_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE deliveries (
    shard               INTEGER NOT NULL,
    organization_id     TEXT COLLATE "C" NOT NULL,
    delivery_id         TEXT COLLATE "C" NOT NULL,
    event_id            TEXT COLLATE "C" NOT NULL,
    event_type          TEXT NOT NULL,
    is_test             BOOLEAN NOT NULL,
    event_time          BIGINT, -- NULL: the event's body has it
    endpoint_id         TEXT COLLATE "C" NOT NULL,
    state               TEXT NOT NULL, -- scheduled, retrying, delivered, failed, cancelled
    attempt_count       INTEGER NOT NULL,
    automatic_count     INTEGER NOT NULL,
    next_attempt_time   BIGINT, -- as people are told
    -- When that attempt is made, on the steady clock. NULL: nothing was said, and it is
    -- next_attempt_time.
    steady_due_time     BIGINT,
    retry_request_time  BIGINT,
    -- The delivery's place in its endpoint's queue, on the steady clock; 0 for what somebody asks
    -- for (a manual retry, a test), which goes first.
    due_time            BIGINT,
    retry_traceparent   TEXT, -- the call that asked for the manual retry that was not made yet
    replay_traceparent  TEXT, -- the call that asked for the replay that made or resumed it
    traceparent         TEXT,
    tracestate          TEXT, -- what came beside the event's traceparent
    create_time         BIGINT NOT NULL,
    cancel_reason       TEXT NOT NULL,
    version             BIGINT NOT NULL,
    PRIMARY KEY (shard, organization_id, delivery_id)
) WITH (fillfactor = 80);
CREATE INDEX deliveries_due ON deliveries (shard, endpoint_id, due_time, delivery_id)
    WHERE due_time IS NOT NULL;
CREATE INDEX deliveries_endpoint ON deliveries (endpoint_id, shard, delivery_id);
CREATE INDEX deliveries_event ON deliveries (event_id);

CREATE TABLE attempts (
    shard              INTEGER NOT NULL,
    organization_id    TEXT COLLATE "C" NOT NULL,
    attempt_id         TEXT COLLATE "C" NOT NULL,
    delivery_id        TEXT COLLATE "C" NOT NULL,
    event_id           TEXT COLLATE "C" NOT NULL,
    event_type         TEXT NOT NULL,
    endpoint_id        TEXT COLLATE "C" NOT NULL,
    number             INTEGER NOT NULL,
    automatic_count    INTEGER NOT NULL,
    trigger            TEXT NOT NULL, -- automatic, manual, test
    start_time         BIGINT  NOT NULL,
    duration           BIGINT  NOT NULL, -- microseconds
    status_code        INTEGER,
    exchange_sha256    BYTEA   NOT NULL,
    exchange_size      BIGINT  NOT NULL,
    outcome            TEXT NOT NULL, -- delivered, retrying, failed
    error              TEXT NOT NULL,
    next_attempt_time  BIGINT,
    remark             TEXT NOT NULL, -- what was out of the ordinary, for people to read
    PRIMARY KEY (shard, organization_id, attempt_id)
);
CREATE INDEX attempts_delivery ON attempts (delivery_id, attempt_id);
CREATE INDEX attempts_endpoint ON attempts (endpoint_id, shard, attempt_id);

-- Events that a disabled endpoint was not sent.
CREATE TABLE missed_events (
    shard            INTEGER NOT NULL,
    endpoint_id      TEXT COLLATE "C" NOT NULL,
    position         BIGINT  NOT NULL, -- of the record that says so
    organization_id  TEXT COLLATE "C" NOT NULL,
    event_id         TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (shard, endpoint_id, position)
);

-- Attempts counted, for statistics. Tests are not counted.
CREATE TABLE attempt_counts (
    shard            INTEGER NOT NULL,
    endpoint_id      TEXT COLLATE "C" NOT NULL,
    hour             BIGINT  NOT NULL,
    outcome          TEXT NOT NULL,
    duration_bucket  INTEGER NOT NULL,
    count            BIGINT  NOT NULL,
    PRIMARY KEY (shard, endpoint_id, hour, outcome, duration_bucket)
);

-- API keys and sessions, all on one shard. `*` is every organization.
CREATE TABLE keys (
    shard             INTEGER NOT NULL,
    key_id            TEXT COLLATE "C" NOT NULL,
    organization_id   TEXT COLLATE "C" NOT NULL,
    token_sha256      BYTEA NOT NULL,
    is_session        BOOLEAN NOT NULL,
    creator           TEXT NOT NULL,
    document_version  INTEGER NOT NULL,
    document          TEXT NOT NULL,
    PRIMARY KEY (shard, key_id)
);
CREATE UNIQUE INDEX keys_token ON keys (shard, token_sha256);
CREATE INDEX keys_organization ON keys (organization_id, key_id);
CREATE INDEX keys_kind ON keys (organization_id, is_session, key_id);
-- What a key has made is revoked with it, if that is asked for. The creator is a key's id, or who
-- else made it.
CREATE INDEX keys_creator ON keys (shard, creator, key_id);

-- Endpoints whose attempts have all failed since a time.
CREATE TABLE failing_endpoints (
    shard            INTEGER NOT NULL,
    organization_id  TEXT NOT NULL,
    endpoint_id      TEXT NOT NULL,
    since            BIGINT NOT NULL,
    delivery_id      TEXT NOT NULL, -- whose attempt was the first
    failures         BIGINT NOT NULL, -- attempts, so far
    PRIMARY KEY (shard, organization_id, endpoint_id)
);

-- The last pause that each receiver has asked for (429 or 503, with Retry-After), also if it is
-- over; gone when something else has ended it.
CREATE TABLE endpoint_pauses (
    shard            INTEGER NOT NULL,
    organization_id  TEXT NOT NULL,
    endpoint_id      TEXT NOT NULL,
    start_time       BIGINT NOT NULL,
    end_time         BIGINT NOT NULL,
    delivery_id      TEXT NOT NULL, -- that was answered
    status_code      INTEGER NOT NULL,
    PRIMARY KEY (shard, organization_id, endpoint_id)
);

CREATE TABLE replays (
    shard             INTEGER NOT NULL,
    organization_id   TEXT COLLATE "C" NOT NULL,
    replay_id         TEXT COLLATE "C" NOT NULL,
    endpoint_id       TEXT COLLATE "C" NOT NULL,
    state             TEXT NOT NULL, -- running, done, cancelled
    document_version  INTEGER NOT NULL,
    document          TEXT NOT NULL,
    PRIMARY KEY (shard, organization_id, replay_id)
);
-- The other columns are for counting alone.
CREATE INDEX replays_running ON replays (shard, replay_id, organization_id, endpoint_id) WHERE state = 'running';

-- Notification channels, and what they are told.

CREATE TABLE channels (
    shard             INTEGER NOT NULL,
    organization_id   TEXT COLLATE "C" NOT NULL,
    channel_id        TEXT COLLATE "C" NOT NULL,
    delete_time       BIGINT,
    document_version  INTEGER NOT NULL,
    document          TEXT NOT NULL,
    PRIMARY KEY (shard, organization_id, channel_id)
);
CREATE UNIQUE INDEX channels_id ON channels (shard, channel_id) WHERE delete_time IS NULL;

CREATE TABLE notifications (
    shard               INTEGER NOT NULL,
    organization_id     TEXT COLLATE "C" NOT NULL,
    notification_id     TEXT COLLATE "C" NOT NULL,
    channel_id          TEXT COLLATE "C" NOT NULL,
    type                TEXT NOT NULL, -- delivery_exhausted, endpoint_degraded, …, test
    state               TEXT NOT NULL, -- waiting, sent, failed, withdrawn
    due_time            BIGINT, -- NULL: it has ended
    end_time            BIGINT,
    cause               BIGINT NOT NULL, -- the position of the last record that it tells of; 0: none
    attempt_start_time  BIGINT, -- of the last attempt
    attempt_recipients  INTEGER NOT NULL, -- of the last attempt, if it was a mail. 0: it was none
    document_version    INTEGER NOT NULL,
    document            TEXT NOT NULL,
    PRIMARY KEY (shard, organization_id, notification_id)
);
CREATE INDEX notifications_due ON notifications (shard, channel_id, due_time, notification_id)
    WHERE due_time IS NOT NULL;
CREATE INDEX notifications_channel ON notifications (channel_id, shard, notification_id);
-- A channel's notifications are all of one organization. Without this the planner takes the two for
-- independent, expects few rows, and sorts all notifications of a channel for one page.
CREATE STATISTICS notifications_of_a_channel (dependencies)
    ON shard, organization_id, channel_id FROM notifications;
CREATE INDEX notifications_cause ON notifications (shard, cause) WHERE cause > 0;
CREATE INDEX notifications_told ON notifications (shard, end_time)
    WHERE type = 'delivery_exhausted' AND end_time IS NOT NULL;
CREATE INDEX notifications_mail ON notifications (shard, organization_id, attempt_start_time)
    WHERE attempt_recipients > 0;

-- The incidents of endpoints at the services of channels, by positions of the log that only grow.
CREATE TABLE incidents (
    shard            INTEGER NOT NULL,
    organization_id  TEXT COLLATE "C" NOT NULL,
    channel_id       TEXT COLLATE "C" NOT NULL,
    endpoint_id      TEXT COLLATE "C" NOT NULL,
    opened           BIGINT NOT NULL, -- the last record of trouble that is told; 0: none
    closing          BIGINT NOT NULL, -- the last record that ended it; 0: none
    closed           BIGINT NOT NULL, -- the last of those that was told; 0: none
    PRIMARY KEY (shard, organization_id, channel_id, endpoint_id)
);
CREATE INDEX incidents_open ON incidents (shard) WHERE opened > closed;

-- The last request with each id that a caller has given one (AIP-155), so that it is safe to send it
-- again: for a day, a repetition makes nothing, and is answered with what the first one made. A later
-- request with the same id replaces the row.
CREATE TABLE requests (
    shard            INTEGER NOT NULL,
    organization_id  TEXT COLLATE "C" NOT NULL,
    request_id       TEXT COLLATE "C" NOT NULL,
    request_sha256   BYTEA NOT NULL, -- of the method, the caller and the content
    stream           TEXT COLLATE "C" NOT NULL, -- what its record is about
    recorded_at      BIGINT NOT NULL,
    PRIMARY KEY (shard, organization_id, request_id)
);
