-- Searches of the web that the provider made and bills, whatever its tool. Of calls before this nobody knows them; what they cost is in
-- their cost.
ALTER TABLE usage_records ADD COLUMN web_searches BIGINT;
