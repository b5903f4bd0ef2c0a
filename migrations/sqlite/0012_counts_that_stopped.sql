-- The deliveries of a replay are counted up to a limit: whether it may come to more.
ALTER TABLE replays ADD COLUMN may_match_more INTEGER NOT NULL DEFAULT 0;
