-- +goose Up
CREATE TABLE share_share (
    uid          TEXT PRIMARY KEY,
    node_uid     TEXT NOT NULL,
    name         TEXT NOT NULL,
    name_key     TEXT NOT NULL,
    path         TEXT NOT NULL,
    phase        TEXT NOT NULL,
    ready        TEXT NOT NULL,
    search       TEXT NOT NULL,
    generation   BIGINT NOT NULL,
    revision     BIGINT NOT NULL,
    spec         TEXT NOT NULL,
    status       TEXT NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    updated_at   TIMESTAMPTZ NOT NULL,
    deleting_at  TIMESTAMPTZ,
    deleting_seq BIGINT NOT NULL
);
-- A name is free again while the share that had it is being deleted.
CREATE UNIQUE INDEX share_share_name ON share_share (node_uid, name_key) WHERE deleting_at IS NULL;
