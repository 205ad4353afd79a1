-- A call's tags, as a JSON list of texts; null where it has none.
ALTER TABLE usage_records ADD COLUMN tags TEXT;

-- Sums by the hour and by each tag, of calls that have some.
CREATE TABLE usage_tag_hours (
    span BIGINT NOT NULL,
    key_name TEXT NOT NULL,
    team TEXT NOT NULL,
    route TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    outcome TEXT NOT NULL,
    tag TEXT NOT NULL,
    calls BIGINT NOT NULL,
    input BIGINT NOT NULL,
    output BIGINT NOT NULL,
    cost_millions BIGINT NOT NULL,
    cost_rest BIGINT NOT NULL,
    at_most_millions BIGINT NOT NULL,
    at_most_rest BIGINT NOT NULL,
    unknown BIGINT NOT NULL,
    PRIMARY KEY (span, key_name, team, route, provider, model, outcome, tag)
);
CREATE INDEX usage_tag_hours_by_tag ON usage_tag_hours (tag, span);
