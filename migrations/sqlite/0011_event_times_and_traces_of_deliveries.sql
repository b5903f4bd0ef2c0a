-- What deliveries know of their event and of the calls that asked for them.
--
-- event_time: when the event happened, for a header of each attempt. NULL: scheduled by a record from
-- before records said so; the event's body has the exact time then.
-- tracestate: what came beside the event's traceparent.
-- retry_traceparent, replay_traceparent: the recorded call that asked for the manual retry that has
-- not been made yet, and for the replay that has made or resumed the delivery.
ALTER TABLE deliveries ADD COLUMN event_time INTEGER;
ALTER TABLE deliveries ADD COLUMN tracestate TEXT;
ALTER TABLE deliveries ADD COLUMN retry_traceparent TEXT;
ALTER TABLE deliveries ADD COLUMN replay_traceparent TEXT;
