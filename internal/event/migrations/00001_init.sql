-- +goose Up
CREATE TABLE event_log (
    seq        BIGINT PRIMARY KEY,
    type       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    uid        TEXT NOT NULL,
    name       TEXT NOT NULL,
    revision   BIGINT NOT NULL,
    request_id TEXT NOT NULL,
    at         TIMESTAMPTZ NOT NULL
);
-- The newest number of each scope; the scope '' counts all events.
CREATE TABLE event_scope (
    scope TEXT PRIMARY KEY,
    seq   BIGINT NOT NULL
);
INSERT INTO event_scope (scope, seq) VALUES ('', 0);
