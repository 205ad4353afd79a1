-- The paths and the client networks that a key opens something at, as JSON arrays; null for everywhere.
ALTER TABLE caller_keys ADD COLUMN paths TEXT;
ALTER TABLE caller_keys ADD COLUMN networks TEXT;
