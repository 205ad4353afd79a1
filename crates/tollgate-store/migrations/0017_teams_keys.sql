-- Keys, limits and budgets of a team that were made before it belong to its organisation as well, whether the team is still there or not. They
-- did not, as long as nobody wrote that down when the team was made.
UPDATE caller_keys SET organisation = (SELECT teams.organisation FROM objects AS teams WHERE teams.kind = 'team' AND teams.name = caller_keys.team ORDER BY teams.created_ms DESC LIMIT 1)
WHERE organisation = '' AND team IN (SELECT name FROM objects WHERE kind = 'team');
UPDATE objects SET organisation = (SELECT teams.organisation FROM objects AS teams WHERE teams.kind = 'team' AND teams.name = objects.team ORDER BY teams.created_ms DESC LIMIT 1)
WHERE organisation = '' AND kind IN ('limit', 'budget') AND team IN (SELECT name FROM objects WHERE kind = 'team');
UPDATE changes SET number = number + 1 WHERE what IN ('keys', 'objects');
