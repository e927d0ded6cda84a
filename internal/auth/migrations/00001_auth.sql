-- +goose Up
CREATE TABLE auth_account (
    uid           TEXT PRIMARY KEY,
    name          TEXT NOT NULL,
    name_key      TEXT NOT NULL UNIQUE,
    role          TEXT NOT NULL,
    disabled      BOOLEAN NOT NULL,
    password_hash TEXT NOT NULL,
    generation    BIGINT NOT NULL,
    revision      BIGINT NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL,
    updated_at    TIMESTAMPTZ NOT NULL,
    last_login_at TIMESTAMPTZ
);
CREATE TABLE auth_session (
    uid          TEXT PRIMARY KEY,
    hash         TEXT NOT NULL UNIQUE,
    account_uid  TEXT NOT NULL,
    remote_addr  TEXT NOT NULL,
    user_agent   TEXT NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    last_seen_at TIMESTAMPTZ NOT NULL,
    expires_at   TIMESTAMPTZ NOT NULL
);
CREATE INDEX auth_session_account ON auth_session (account_uid);
CREATE TABLE auth_token (
    uid            TEXT PRIMARY KEY,
    hash           TEXT NOT NULL UNIQUE,
    -- '' for the token of the CLI on the server's own machine.
    account_uid    TEXT NOT NULL,
    name           TEXT NOT NULL,
    name_key       TEXT NOT NULL,
    privileges     TEXT NOT NULL,
    created_at     TIMESTAMPTZ NOT NULL,
    expires_at     TIMESTAMPTZ,
    last_used_at   TIMESTAMPTZ,
    last_used_addr TEXT NOT NULL,
    audited_at     TIMESTAMPTZ,
    UNIQUE (account_uid, name_key)
);
-- One row. Its lock puts changes of accounts in order; it also holds the code of the first set-up.
CREATE TABLE auth_state (
    id               BIGINT PRIMARY KEY,
    changes          BIGINT NOT NULL,
    setup_hash       TEXT NOT NULL,
    setup_expires_at TIMESTAMPTZ
);
INSERT INTO auth_state (id, changes, setup_hash) VALUES (1, 0, '');
