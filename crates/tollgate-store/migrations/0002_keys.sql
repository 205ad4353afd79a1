-- Callers' keys: what is kept of a key is its hash. A key that is removed stays as a row, so that nobody takes its absence for
-- "no key is wanted".
CREATE TABLE caller_keys (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    team TEXT,
    hash TEXT NOT NULL,
    old_hash TEXT,
    old_until_ms BIGINT,
    routes TEXT,
    expires_ms BIGINT,
    blocked BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    removed_ms BIGINT
);

CREATE UNIQUE INDEX caller_keys_by_name ON caller_keys (name) WHERE removed_ms IS NULL;

-- How often each kind of thing has changed, so that others see that it has.
CREATE TABLE changes (
    what TEXT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL
);

INSERT INTO changes (what, number) VALUES ('keys', 0);
