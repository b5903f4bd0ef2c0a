-- The last pause that each receiver has asked for (429 or 503, with Retry-After), also if it is
-- over; gone when something else has ended it. A projection. Records of before have none.
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
