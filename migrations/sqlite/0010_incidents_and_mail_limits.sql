-- Which incidents services such as PagerDuty have open, and how much mail went out.

-- The log's NotificationIncident: what a notification does to the incident of its endpoint. NULL:
-- the channel's service keeps none.
ALTER TABLE notifications ADD COLUMN incident BLOB;
-- How many recipients the last attempt had, if it was a mail. 0: it was none.
ALTER TABLE notifications ADD COLUMN attempt_recipients INTEGER NOT NULL DEFAULT 0;
CREATE INDEX notifications_mail ON notifications (shard, organization_id, attempt_start_time)
    WHERE attempt_recipients > 0;

-- The incidents of endpoints at the services of channels, by positions of the log that only grow.
-- A projection.
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
