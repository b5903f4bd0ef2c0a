-- What a key has made is revoked with it, if that is asked for. The creator is a key's id, or who
-- else made it.
CREATE INDEX keys_creator ON keys (shard, creator, key_id);
