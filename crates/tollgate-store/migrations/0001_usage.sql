-- The books: one row a call, only ever added.
CREATE TABLE usage_records (
    id TEXT NOT NULL PRIMARY KEY,
    at_ms BIGINT NOT NULL,
    request_id TEXT NOT NULL,
    revision TEXT NOT NULL,
    key_name TEXT,
    team TEXT,
    end_user TEXT,
    route TEXT,
    task TEXT,
    provider TEXT,
    model TEXT,
    outcome TEXT NOT NULL,
    status BIGINT NOT NULL,
    error_code TEXT,
    input BIGINT,
    input_cached BIGINT,
    cache_write BIGINT,
    cache_write_1h BIGINT,
    input_audio BIGINT,
    output BIGINT,
    output_reasoning BIGINT,
    output_audio BIGINT,
    search_units BIGINT,
    service_tier TEXT,
    cost_picodollars BIGINT,
    cost_at_most_picodollars BIGINT,
    cost_unknown TEXT,
    attempts BIGINT NOT NULL,
    streamed BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL
);

CREATE INDEX usage_records_by_request ON usage_records (request_id);
CREATE INDEX usage_records_by_time ON usage_records (at_ms);
CREATE INDEX usage_records_by_key ON usage_records (key_name, at_ms);
CREATE INDEX usage_records_by_team ON usage_records (team, at_ms);
CREATE INDEX usage_records_by_route ON usage_records (route, at_ms);
