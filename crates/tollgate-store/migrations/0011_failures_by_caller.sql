-- The same of one key or one team, whose other calls may be very many.
CREATE INDEX usage_records_failed_by_key ON usage_records (key_name, status, at_ms) WHERE status <> 200;
CREATE INDEX usage_records_failed_by_team ON usage_records (team, status, at_ms) WHERE status <> 200;
