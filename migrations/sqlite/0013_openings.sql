-- What tells whether a write-ahead log beside the file was written for it, and whether one is
-- missing (crates/store/src/sqlite/marks.rs). In the row that every append changes in any case, so
-- that it costs no page of the write-ahead log.
ALTER TABLE shards ADD COLUMN commits INTEGER NOT NULL DEFAULT 0; -- transactions that wrote
ALTER TABLE shards ADD COLUMN opening TEXT; -- by which process's opening of the file; NULL: an older version's
ALTER TABLE shards ADD COLUMN previous_opening TEXT; -- which one the file was written by before
ALTER TABLE shards ADD COLUMN is_closed INTEGER NOT NULL DEFAULT 1; -- 0: not all may be in the file itself
