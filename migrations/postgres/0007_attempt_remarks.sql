-- What was out of the ordinary about an attempt, whatever came of it.
ALTER TABLE attempts ADD COLUMN remark TEXT NOT NULL DEFAULT ''; -- for people to read
