-- Whether the tokens of a call were counted here, as its provider did not say what was used.
ALTER TABLE usage_records ADD COLUMN estimated BIGINT NOT NULL DEFAULT 0;
