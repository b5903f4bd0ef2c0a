-- Waits are measured by a steady clock of the shard, which no step of a wall clock moves. Where it
-- stood when an owner last wrote it down, and when that was by the database's clock; the next
-- owner goes on from there. NULL: no owner has yet.
ALTER TABLE shards ADD COLUMN steady_time INTEGER;
ALTER TABLE shards ADD COLUMN steady_time_noted_at INTEGER;

-- next_attempt_time is what people are told; this is when the attempt is made, on the steady
-- clock. NULL: nothing was said, and it is next_attempt_time. due_time, the delivery's place in
-- its endpoint's queue, is on the steady clock as well, and 0 for what somebody asks for (a manual
-- retry, a test), which goes first.
ALTER TABLE deliveries ADD COLUMN steady_due_time INTEGER;
UPDATE deliveries SET due_time = 0
WHERE due_time IS NOT NULL AND (retry_request_time IS NOT NULL OR event_type = 'webhook.test');
