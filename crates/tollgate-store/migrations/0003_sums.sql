-- Sums of the books by the hour and by the day, kept with every record that is entered. They can be made again out of the records.
-- What a call did not say is the empty text here. Amounts of money are in two parts, millions of picodollars and the rest.
CREATE TABLE usage_days (
    span BIGINT NOT NULL,
    key_name TEXT NOT NULL,
    team TEXT NOT NULL,
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
    PRIMARY KEY (span, key_name, team, route, provider, model, outcome)
);

CREATE TABLE usage_hours (
    span BIGINT NOT NULL,
    key_name TEXT NOT NULL,
    team TEXT NOT NULL,
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
    PRIMARY KEY (span, key_name, team, route, provider, model, outcome)
);

-- The same with end users, of whom there may be many.
CREATE TABLE usage_user_hours (
    span BIGINT NOT NULL,
    key_name TEXT NOT NULL,
    team TEXT NOT NULL,
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
    PRIMARY KEY (span, key_name, team, route, provider, model, outcome, end_user)
);

INSERT INTO usage_user_hours
SELECT at_ms / 3600000, COALESCE(key_name, ''), COALESCE(team, ''), COALESCE(route, ''), COALESCE(provider, ''), COALESCE(model, ''),
    outcome, COALESCE(end_user, ''), COUNT(*),
    SUM(COALESCE(input, 0) + COALESCE(input_cached, 0) + COALESCE(cache_write, 0) + COALESCE(cache_write_1h, 0) + COALESCE(input_audio, 0)),
    SUM(COALESCE(output, 0) + COALESCE(output_reasoning, 0) + COALESCE(output_audio, 0)),
    COALESCE(SUM(cost_picodollars / 1000000), 0), COALESCE(SUM(cost_picodollars % 1000000), 0),
    COALESCE(SUM(cost_at_most_picodollars / 1000000), 0), COALESCE(SUM(cost_at_most_picodollars % 1000000), 0),
    COUNT(cost_unknown)
FROM usage_records GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;

INSERT INTO usage_hours
SELECT span, key_name, team, route, provider, model, outcome, SUM(calls), SUM(input), SUM(output), SUM(cost_millions), SUM(cost_rest),
    SUM(at_most_millions), SUM(at_most_rest), SUM(unknown)
FROM usage_user_hours GROUP BY 1, 2, 3, 4, 5, 6, 7;

INSERT INTO usage_days
SELECT span / 24, key_name, team, route, provider, model, outcome, SUM(calls), SUM(input), SUM(output), SUM(cost_millions), SUM(cost_rest),
    SUM(at_most_millions), SUM(at_most_rest), SUM(unknown)
FROM usage_hours GROUP BY 1, 2, 3, 4, 5, 6, 7;

-- Sums are no longer looked for among the records.
DROP INDEX usage_records_by_team;
DROP INDEX usage_records_by_route;
