-- The models that a key reaches, as a JSON array; null for all.
ALTER TABLE caller_keys ADD COLUMN models TEXT;
