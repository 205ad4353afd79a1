-- Tokens that calls may have used beyond those that are known, as their providers did not say: they broke off, or their clients left.
ALTER TABLE usage_records ADD COLUMN unmetered_input BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_records ADD COLUMN unmetered_output BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_days ADD COLUMN unmetered_input BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_days ADD COLUMN unmetered_output BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_hours ADD COLUMN unmetered_input BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_hours ADD COLUMN unmetered_output BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_user_hours ADD COLUMN unmetered_input BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_user_hours ADD COLUMN unmetered_output BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_tag_hours ADD COLUMN unmetered_input BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_tag_hours ADD COLUMN unmetered_output BIGINT NOT NULL DEFAULT 0;
