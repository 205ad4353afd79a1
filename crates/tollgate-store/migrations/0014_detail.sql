-- What else is known of a call, as a JSON object; null for calls from before it was kept.
ALTER TABLE usage_records ADD COLUMN detail TEXT;
