-- +goose Up
CREATE TABLE httpapi_request (
    id           TEXT PRIMARY KEY,
    body_hash    TEXT NOT NULL,
    status       BIGINT NOT NULL,
    content_type TEXT NOT NULL,
    etag         TEXT NOT NULL,
    answer       BYTEA NOT NULL,
    at           TIMESTAMPTZ NOT NULL
);
CREATE INDEX httpapi_request_at ON httpapi_request (at);
