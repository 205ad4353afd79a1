-- From when on single calls are kept, in milliseconds since 1970-01-01 UTC, always the beginning of a day: one row. What was before is in
-- the sums alone, which are no longer made out of records.
CREATE TABLE calls_kept (from_ms BIGINT NOT NULL);

INSERT INTO calls_kept (from_ms) VALUES (0);
