-- Why an endpoint is not active, for programs; and which endpoints only fail.

ALTER TABLE endpoints ADD COLUMN status_cause TEXT; -- requested, exhausted, failing, gone; NULL: active
ALTER TABLE endpoints ADD COLUMN status_delivery_id TEXT;

-- What the log says of those that there are. A degraded one's reason begins with the delivery.
UPDATE endpoints SET status_cause = 'requested' WHERE status = 'disabled';
UPDATE endpoints
SET status_cause = 'exhausted',
    status_delivery_id = substr(status_reason, length('delivery ') + 1, length('dlv_') + 26)
WHERE status = 'degraded';

-- Endpoints whose attempts have all failed since a time. A projection. It fills from now on;
-- `log rebuild` fills it with what was before.
CREATE TABLE failing_endpoints (
    shard            INTEGER NOT NULL,
    organization_id  TEXT NOT NULL,
    endpoint_id      TEXT NOT NULL,
    since            BIGINT NOT NULL,
    delivery_id      TEXT NOT NULL, -- whose attempt was the first
    PRIMARY KEY (shard, organization_id, endpoint_id)
);
