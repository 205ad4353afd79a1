-- Answers that calls of OpenAI's responses go on from: what was asked and what was answered, and which answer it went on from.
CREATE TABLE responses (
    owner TEXT NOT NULL,
    id TEXT NOT NULL,
    previous TEXT,
    input TEXT NOT NULL,
    answer TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (owner, id)
);

CREATE INDEX responses_by_time ON responses (at_ms);
