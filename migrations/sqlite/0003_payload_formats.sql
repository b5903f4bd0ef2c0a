-- In which form an endpoint wants its events. Endpoints of before have our own.
ALTER TABLE endpoints ADD COLUMN payload_format TEXT NOT NULL DEFAULT 'keeptrusts';
-- Of the format `custom`.
ALTER TABLE endpoints ADD COLUMN payload_template TEXT;
-- Of the format `pagerduty`, sealed.
ALTER TABLE endpoints ADD COLUMN routing_key_key_id TEXT;
ALTER TABLE endpoints ADD COLUMN routing_key_nonce BLOB;
ALTER TABLE endpoints ADD COLUMN routing_key_ciphertext BLOB;
