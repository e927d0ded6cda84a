-- +goose Up
CREATE TABLE node_node (
    uid           TEXT PRIMARY KEY,
    name          TEXT NOT NULL,
    phase         TEXT NOT NULL,
    hostname      TEXT NOT NULL,
    search        TEXT NOT NULL,
    generation    BIGINT NOT NULL,
    revision      BIGINT NOT NULL,
    spec          TEXT NOT NULL,
    status        TEXT NOT NULL,
    report        TEXT NOT NULL,
    key_hash      TEXT NOT NULL,
    link_epoch    BIGINT NOT NULL,
    attached      BOOLEAN NOT NULL,
    confirmed_epoch TEXT NOT NULL,
    confirmed_seq BIGINT NOT NULL,
    last_seen_at  TIMESTAMPTZ,
    created_at    TIMESTAMPTZ NOT NULL,
    updated_at    TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX node_node_name ON node_node (name);
CREATE TABLE node_enrolment (
    uid        TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    token_hash TEXT NOT NULL,
    -- The node whose machine is enrolled anew; empty for a new node until the token is used.
    node_uid   TEXT NOT NULL,
    -- Hash of the key that has used the token; empty while unused.
    used_by    TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX node_enrolment_token ON node_enrolment (token_hash);
-- One row: the epoch of this store. It changes when the store was restored from a backup.
CREATE TABLE node_store_epoch (
    id    BIGINT PRIMARY KEY,
    epoch TEXT NOT NULL
);
