-- +goose Up
-- Users and groups share one space of names, as they do in Samba.
CREATE TABLE identity_name (
    name TEXT PRIMARY KEY,
    uid  TEXT NOT NULL UNIQUE
);
-- The next Unix id of each kind. It only ever grows.
CREATE TABLE identity_next (
    kind TEXT PRIMARY KEY,
    id   BIGINT NOT NULL
);
-- Ids of deleted users and groups: only the same name gets such an id again.
CREATE TABLE identity_past (
    kind    TEXT NOT NULL,
    name    TEXT NOT NULL,
    unix_id BIGINT NOT NULL,
    PRIMARY KEY (kind, name)
);
CREATE TABLE identity_user (
    uid             TEXT PRIMARY KEY,
    generation      BIGINT NOT NULL,
    revision        BIGINT NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL,
    updated_at      TIMESTAMPTZ NOT NULL,
    name            TEXT NOT NULL UNIQUE,
    full_name       TEXT NOT NULL,
    enabled         BOOLEAN NOT NULL,
    unix_id         BIGINT NOT NULL UNIQUE,
    nt_hash         TEXT NOT NULL, -- sealed; '' without a password
    password_set_at TIMESTAMPTZ NOT NULL,
    search          TEXT NOT NULL
);
CREATE TABLE identity_group (
    uid        TEXT PRIMARY KEY,
    generation BIGINT NOT NULL,
    revision   BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    name       TEXT NOT NULL UNIQUE,
    unix_id    BIGINT NOT NULL UNIQUE,
    search     TEXT NOT NULL
);
CREATE TABLE identity_member (
    group_uid TEXT NOT NULL REFERENCES identity_group (uid) ON DELETE CASCADE,
    user_uid  TEXT NOT NULL REFERENCES identity_user (uid) ON DELETE CASCADE,
    PRIMARY KEY (group_uid, user_uid)
);
CREATE INDEX identity_member_user ON identity_member (user_uid);
-- What each node has last reported of each user.
CREATE TABLE identity_status (
    user_uid   TEXT NOT NULL REFERENCES identity_user (uid) ON DELETE CASCADE,
    node_uid   TEXT NOT NULL,
    conditions TEXT NOT NULL, -- JSON
    PRIMARY KEY (user_uid, node_uid)
);
CREATE INDEX identity_status_node ON identity_status (node_uid);
