-- +goose Up
CREATE TABLE task_run (
    uid         TEXT PRIMARY KEY,
    revision    BIGINT NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    updated_at  TIMESTAMPTZ NOT NULL,
    kind        TEXT NOT NULL,
    title       TEXT NOT NULL,
    state       TEXT NOT NULL,
    done        BIGINT NOT NULL,
    failed      BIGINT NOT NULL,
    total       BIGINT NOT NULL,
    message     TEXT NOT NULL,
    started_at  TIMESTAMPTZ,
    finished_at TIMESTAMPTZ,
    actor       TEXT NOT NULL, -- JSON
    request_id  TEXT NOT NULL,
    payload     TEXT NOT NULL, -- sealed JSON; '' once the task has ended
    -- Who runs it, and until when nobody else may. attempt counts runs since the last step that was done.
    holder      TEXT NOT NULL,
    held_until  TIMESTAMPTZ NOT NULL,
    attempt     BIGINT NOT NULL,
    search      TEXT NOT NULL
);
CREATE INDEX task_run_state ON task_run (state, created_at);
CREATE TABLE task_item (
    task_uid TEXT NOT NULL REFERENCES task_run (uid) ON DELETE CASCADE,
    n        BIGINT NOT NULL,
    name     TEXT NOT NULL,
    ok       BOOLEAN NOT NULL,
    detail   TEXT NOT NULL,
    PRIMARY KEY (task_uid, n)
);
