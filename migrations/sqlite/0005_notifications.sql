-- Notification channels, and what they are told. Projections of the log.

CREATE TABLE channels (
    shard              INTEGER NOT NULL,
    organization_id    TEXT NOT NULL,
    channel_id         TEXT NOT NULL,
    name               TEXT NOT NULL,
    kind               TEXT NOT NULL, -- slack, teams, pagerduty, webhook, email
    address            TEXT NOT NULL, -- what may be shown of where it leads
    secret_key_id      TEXT, -- NULL, as are the next two: e-mail
    secret_nonce       BLOB,
    secret_ciphertext  BLOB,
    subscriptions      TEXT NOT NULL, -- separated by commas
    endpoint_ids       TEXT NOT NULL, -- separated by commas; empty: all
    status             TEXT NOT NULL, -- active, failing
    status_reason      TEXT NOT NULL,
    status_time        INTEGER NOT NULL,
    config_version     INTEGER NOT NULL,
    version            INTEGER NOT NULL,
    create_time        INTEGER NOT NULL,
    update_time        INTEGER NOT NULL,
    delete_time        INTEGER,
    PRIMARY KEY (shard, organization_id, channel_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX channels_id ON channels (shard, channel_id) WHERE delete_time IS NULL;

CREATE TABLE notifications (
    shard               INTEGER NOT NULL,
    organization_id     TEXT NOT NULL,
    notification_id     TEXT NOT NULL,
    channel_id          TEXT NOT NULL,
    type                TEXT NOT NULL, -- delivery_exhausted, endpoint_degraded, …, test
    endpoint_id         TEXT,
    delivery_id         TEXT,
    count               INTEGER NOT NULL,
    since_time          INTEGER NOT NULL,
    reason              TEXT NOT NULL,
    first_due_time      INTEGER NOT NULL,
    summary             BLOB, -- the log's WeekSummary
    state               TEXT NOT NULL, -- waiting, sent, failed
    due_time            INTEGER, -- NULL: it has ended
    attempt_count       INTEGER NOT NULL,
    attempt_start_time  INTEGER, -- of the last attempt, as are the next two
    attempt_duration    INTEGER, -- microseconds
    status_code         INTEGER,
    error               TEXT NOT NULL,
    cause               INTEGER NOT NULL, -- the position of the last record that it tells of
    create_time         INTEGER NOT NULL,
    end_time            INTEGER,
    version             INTEGER NOT NULL,
    PRIMARY KEY (shard, organization_id, notification_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX notifications_due ON notifications (shard, channel_id, due_time, notification_id)
    WHERE due_time IS NOT NULL;
CREATE INDEX notifications_channel ON notifications (shard, channel_id, notification_id);
CREATE INDEX notifications_cause ON notifications (shard, cause) WHERE cause > 0;
CREATE INDEX notifications_told ON notifications (shard, end_time)
    WHERE type = 'delivery_exhausted' AND end_time IS NOT NULL;
