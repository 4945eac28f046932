-- The push platform: apps and their keys, live rooms bound to chat rooms, tags, pushes that wait.

-- An app is a user nobody logs in as.
CREATE TABLE app (
    name TEXT    PRIMARY KEY,
    uid  INTEGER NOT NULL UNIQUE
) WITHOUT ROWID;

CREATE TABLE api_key (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    app        INTEGER NOT NULL,
    name       TEXT    NOT NULL,
    hash       BLOB    NOT NULL UNIQUE,
    scope      TEXT    NOT NULL,
    per_second INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
);

CREATE TABLE live_room (
    name         TEXT    PRIMARY KEY,
    conversation INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE user_tag (
    uid INTEGER NOT NULL,
    tag TEXT    NOT NULL,
    PRIMARY KEY (uid, tag)
) WITHOUT ROWID;

-- Keys callers gave to pushes, with a digest of what they asked for.
CREATE TABLE push_key (
    app     INTEGER NOT NULL,
    name    TEXT    NOT NULL,
    digest  BLOB    NOT NULL,
    push    TEXT    NOT NULL,
    used_at INTEGER NOT NULL,
    PRIMARY KEY (app, name)
) WITHOUT ROWID;
CREATE INDEX push_key_by_age ON push_key (used_at);

-- Pushes whose time has not come.
CREATE TABLE waiting_push (
    push    TEXT    PRIMARY KEY,
    app     INTEGER NOT NULL,
    request BLOB    NOT NULL,
    due     INTEGER NOT NULL,
    expires INTEGER
) WITHOUT ROWID;
CREATE INDEX waiting_push_due ON waiting_push (due, push);
CREATE INDEX waiting_push_by_app ON waiting_push (app);

-- A conversation of kind 3 (notice) has its two members in direct_a and direct_b, as a direct one has.
