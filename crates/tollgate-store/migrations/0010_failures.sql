-- Calls that ended in a way of their own: a few among very many, found without a look at all of them.
CREATE INDEX usage_records_by_status ON usage_records (status, at_ms) WHERE status <> 200;
CREATE INDEX usage_records_by_error ON usage_records (error_code, at_ms) WHERE error_code IS NOT NULL;
