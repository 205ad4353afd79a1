-- Searches of the web that the provider made and bills, whatever its tool. Of calls before this nobody knows them; what they cost is in
-- their cost.
ALTER TABLE usage_records ADD COLUMN web_searches BIGINT;

-- Where calls came from, so that they are found by it. That of calls before this is in their detail alone.
ALTER TABLE usage_records ADD COLUMN client_address TEXT;
CREATE INDEX usage_records_by_client ON usage_records (client_address, at_ms);
