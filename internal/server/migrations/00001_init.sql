-- +goose Up
-- One row: the store epoch, within which revision numbers compare.
CREATE TABLE server_store (
    id    BIGINT PRIMARY KEY,
    epoch TEXT NOT NULL
);
