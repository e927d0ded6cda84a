-- +goose Up
CREATE TABLE audit_log (
    seq         BIGINT PRIMARY KEY,
    at          TIMESTAMPTZ NOT NULL,
    actor_kind  TEXT NOT NULL,
    actor_uid   TEXT NOT NULL,
    actor_name  TEXT NOT NULL,
    remote_addr TEXT NOT NULL,
    request_id  TEXT NOT NULL,
    action      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    uid         TEXT NOT NULL,
    name        TEXT NOT NULL,
    -- JSON as text, byte for byte what the hash covers; '' where there is none.
    before_json TEXT NOT NULL,
    after_json  TEXT NOT NULL,
    prev_hash   TEXT NOT NULL,
    hash        TEXT NOT NULL,
    -- Lower-case words for the full-text search, derived from the columns above.
    search      TEXT NOT NULL
);
CREATE INDEX audit_log_uid ON audit_log (uid);
CREATE INDEX audit_log_request ON audit_log (request_id);
CREATE INDEX audit_log_at ON audit_log (at);
-- The end of the chain, in one row whose lock puts writers in order.
CREATE TABLE audit_head (
    id   BIGINT PRIMARY KEY,
    seq  BIGINT NOT NULL,
    hash TEXT NOT NULL
);
INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '');
