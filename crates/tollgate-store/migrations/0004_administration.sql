-- What people administer: organisations, teams, apps, users, their tokens, limits and budgets. Each is a small document that belongs to an
-- organisation, and mostly to a team of it ('' where it does not). A removed one stays as a row.
CREATE TABLE objects (
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    organisation TEXT NOT NULL,
    team TEXT NOT NULL,
    -- What no two of a kind have at the same time.
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL,
    removed_ms BIGINT
);

-- A team and a budget may be called alike, and what was removed may come again.
CREATE UNIQUE INDEX objects_by_id ON objects (kind, id) WHERE removed_ms IS NULL;
CREATE UNIQUE INDEX objects_by_name ON objects (kind, name) WHERE removed_ms IS NULL;
CREATE INDEX objects_by_tenant ON objects (kind, organisation, team, id);

ALTER TABLE caller_keys ADD COLUMN organisation TEXT NOT NULL DEFAULT '';
ALTER TABLE caller_keys ADD COLUMN app TEXT;
ALTER TABLE caller_keys ADD COLUMN version BIGINT NOT NULL DEFAULT 1;

-- Every change, in order; each row's hash is over its own words and the hash of the row before.
CREATE TABLE audit (
    number BIGINT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    actor TEXT NOT NULL,
    source TEXT NOT NULL,
    action TEXT NOT NULL,
    kind TEXT NOT NULL,
    object TEXT NOT NULL,
    organisation TEXT NOT NULL,
    team TEXT NOT NULL,
    before TEXT,
    after TEXT,
    hash TEXT NOT NULL
);

-- What was answered to a request that may be sent again.
CREATE TABLE answered (
    actor TEXT NOT NULL,
    request_key TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    answer TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (actor, request_key)
);

INSERT INTO changes (what, number) VALUES ('audit', 0);
INSERT INTO changes (what, number) VALUES ('objects', 0);
