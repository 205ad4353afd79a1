-- The app that a call was made for. Until now it was known by its key alone, which callers with tokens have not.
ALTER TABLE usage_records ADD COLUMN app TEXT;
UPDATE usage_records SET app = (SELECT app FROM caller_keys WHERE name = key_name AND app IS NOT NULL ORDER BY created_ms DESC LIMIT 1)
WHERE key_name IN (SELECT name FROM caller_keys WHERE app IS NOT NULL);

ALTER TABLE usage_days RENAME TO usage_days_before;
CREATE TABLE usage_days (
    span BIGINT NOT NULL,
    key_name TEXT NOT NULL,
    team TEXT NOT NULL,
    app TEXT NOT NULL DEFAULT '',
    route TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    outcome TEXT NOT NULL,
    calls BIGINT NOT NULL,
    input BIGINT NOT NULL,
    output BIGINT NOT NULL,
    cost_millions BIGINT NOT NULL,
    cost_rest BIGINT NOT NULL,
    at_most_millions BIGINT NOT NULL,
    at_most_rest BIGINT NOT NULL,
    unknown BIGINT NOT NULL,
    unmetered_input BIGINT NOT NULL DEFAULT 0,
    unmetered_output BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (span, key_name, team, app, route, provider, model, outcome)
);
INSERT INTO usage_days (span, key_name, team, app, route, provider, model, outcome, calls, input, output, cost_millions, cost_rest, at_most_millions, at_most_rest, unknown, unmetered_input, unmetered_output)
SELECT span, key_name, team, COALESCE((SELECT app FROM caller_keys WHERE name = key_name AND app IS NOT NULL ORDER BY created_ms DESC LIMIT 1), ''), route, provider, model, outcome, calls, input, output, cost_millions, cost_rest, at_most_millions, at_most_rest, unknown, unmetered_input, unmetered_output
FROM usage_days_before;
DROP TABLE usage_days_before;

ALTER TABLE usage_hours RENAME TO usage_hours_before;
CREATE TABLE usage_hours (
    span BIGINT NOT NULL,
    key_name TEXT NOT NULL,
    team TEXT NOT NULL,
    app TEXT NOT NULL DEFAULT '',
    route TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    outcome TEXT NOT NULL,
    calls BIGINT NOT NULL,
    input BIGINT NOT NULL,
    output BIGINT NOT NULL,
    cost_millions BIGINT NOT NULL,
    cost_rest BIGINT NOT NULL,
    at_most_millions BIGINT NOT NULL,
    at_most_rest BIGINT NOT NULL,
    unknown BIGINT NOT NULL,
    unmetered_input BIGINT NOT NULL DEFAULT 0,
    unmetered_output BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (span, key_name, team, app, route, provider, model, outcome)
);
INSERT INTO usage_hours (span, key_name, team, app, route, provider, model, outcome, calls, input, output, cost_millions, cost_rest, at_most_millions, at_most_rest, unknown, unmetered_input, unmetered_output)
SELECT span, key_name, team, COALESCE((SELECT app FROM caller_keys WHERE name = key_name AND app IS NOT NULL ORDER BY created_ms DESC LIMIT 1), ''), route, provider, model, outcome, calls, input, output, cost_millions, cost_rest, at_most_millions, at_most_rest, unknown, unmetered_input, unmetered_output
FROM usage_hours_before;
DROP TABLE usage_hours_before;

ALTER TABLE usage_user_hours RENAME TO usage_user_hours_before;
CREATE TABLE usage_user_hours (
    span BIGINT NOT NULL,
    key_name TEXT NOT NULL,
    team TEXT NOT NULL,
    app TEXT NOT NULL DEFAULT '',
    route TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    outcome TEXT NOT NULL,
    end_user TEXT NOT NULL,
    calls BIGINT NOT NULL,
    input BIGINT NOT NULL,
    output BIGINT NOT NULL,
    cost_millions BIGINT NOT NULL,
    cost_rest BIGINT NOT NULL,
    at_most_millions BIGINT NOT NULL,
    at_most_rest BIGINT NOT NULL,
    unknown BIGINT NOT NULL,
    unmetered_input BIGINT NOT NULL DEFAULT 0,
    unmetered_output BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (span, key_name, team, app, route, provider, model, outcome, end_user)
);
INSERT INTO usage_user_hours (span, key_name, team, app, route, provider, model, outcome, end_user, calls, input, output, cost_millions, cost_rest, at_most_millions, at_most_rest, unknown, unmetered_input, unmetered_output)
SELECT span, key_name, team, COALESCE((SELECT app FROM caller_keys WHERE name = key_name AND app IS NOT NULL ORDER BY created_ms DESC LIMIT 1), ''), route, provider, model, outcome, end_user, calls, input, output, cost_millions, cost_rest, at_most_millions, at_most_rest, unknown, unmetered_input, unmetered_output
FROM usage_user_hours_before;
DROP TABLE usage_user_hours_before;

ALTER TABLE usage_tag_hours RENAME TO usage_tag_hours_before;
CREATE TABLE usage_tag_hours (
    span BIGINT NOT NULL,
    key_name TEXT NOT NULL,
    team TEXT NOT NULL,
    app TEXT NOT NULL DEFAULT '',
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
    unmetered_input BIGINT NOT NULL DEFAULT 0,
    unmetered_output BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (span, key_name, team, app, route, provider, model, outcome, tag)
);
INSERT INTO usage_tag_hours (span, key_name, team, app, route, provider, model, outcome, tag, calls, input, output, cost_millions, cost_rest, at_most_millions, at_most_rest, unknown, unmetered_input, unmetered_output)
SELECT span, key_name, team, COALESCE((SELECT app FROM caller_keys WHERE name = key_name AND app IS NOT NULL ORDER BY created_ms DESC LIMIT 1), ''), route, provider, model, outcome, tag, calls, input, output, cost_millions, cost_rest, at_most_millions, at_most_rest, unknown, unmetered_input, unmetered_output
FROM usage_tag_hours_before;
DROP TABLE usage_tag_hours_before;

CREATE INDEX usage_tag_hours_by_tag ON usage_tag_hours (tag, span);
