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
    epoch              INTEGER NOT NULL DEFAULT 0
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

CREATE TABLE endpoints (
    shard                        INTEGER NOT NULL,
    organization_id              TEXT NOT NULL,
    endpoint_id                  TEXT NOT NULL,
    name                         TEXT NOT NULL,
    url                          TEXT NOT NULL,
    description                  TEXT NOT NULL,
    event_types                  TEXT NOT NULL, -- separated by commas
    secret_key_id                TEXT NOT NULL,
    secret_nonce                 BLOB NOT NULL,
    secret_ciphertext            BLOB NOT NULL,
    previous_secret_key_id       TEXT,
    previous_secret_nonce        BLOB,
    previous_secret_ciphertext   BLOB,
    previous_secret_expire_time  INTEGER,
    status                       TEXT NOT NULL, -- active, disabled, degraded
    status_reason                TEXT NOT NULL,
    status_time                  INTEGER NOT NULL,
    config_version               INTEGER NOT NULL,
    version                      INTEGER NOT NULL,
    create_time                  INTEGER NOT NULL,
    update_time                  INTEGER NOT NULL,
    delete_time                  INTEGER,
    PRIMARY KEY (shard, organization_id, endpoint_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX endpoints_id ON endpoints (shard, endpoint_id);

CREATE TABLE events (
    shard            INTEGER NOT NULL,
    organization_id  TEXT NOT NULL,
    event_id         TEXT NOT NULL,
    event_type       TEXT NOT NULL,
    event_time       INTEGER NOT NULL,
    create_time      INTEGER NOT NULL,
    body_sha256      BLOB NOT NULL,
    body_size        INTEGER NOT NULL,
    idempotency_key  TEXT,
    request_sha256   BLOB,
    trace_id         TEXT,
    publisher        TEXT NOT NULL,
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
    endpoint_id         TEXT NOT NULL,
    state               TEXT NOT NULL, -- scheduled, retrying, delivered, failed, cancelled
    attempt_count       INTEGER NOT NULL,
    automatic_count     INTEGER NOT NULL,
    next_attempt_time   INTEGER,
    retry_request_time  INTEGER,
    due_time            INTEGER, -- the earlier of the two above
    traceparent         TEXT,
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
    shard            INTEGER NOT NULL,
    key_id           TEXT NOT NULL,
    organization_id  TEXT NOT NULL,
    name             TEXT NOT NULL,
    role             TEXT NOT NULL, -- admin, publisher, viewer, platform
    token_sha256     BLOB NOT NULL,
    is_session       INTEGER NOT NULL,
    parent_key_id    TEXT, -- of a session that a key has opened
    creator          TEXT NOT NULL,
    create_time      INTEGER NOT NULL,
    expire_time      INTEGER,
    revoke_time      INTEGER,
    version          INTEGER NOT NULL,
    PRIMARY KEY (shard, key_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX keys_token ON keys (shard, token_sha256);
CREATE INDEX keys_organization ON keys (shard, organization_id, key_id);
