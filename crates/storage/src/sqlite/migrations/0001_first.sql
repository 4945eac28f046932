-- Times are Unix milliseconds, flags 0 or 1. Ids are AUTOINCREMENT: none is used twice.

CREATE TABLE meta (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    epoch      INTEGER NOT NULL,
    shards     INTEGER NOT NULL,
    created_at INTEGER NOT NULL
);

CREATE TABLE shard (
    id        INTEGER PRIMARY KEY,
    revision  INTEGER NOT NULL,
    published INTEGER NOT NULL
);

-- Accounts ---------------------------------------------------------------------------------------------------------

CREATE TABLE user (
    uid               INTEGER PRIMARY KEY AUTOINCREMENT,
    email             TEXT    NOT NULL UNIQUE,
    nickname          TEXT    NOT NULL,
    folded            TEXT    NOT NULL,
    signature         TEXT    NOT NULL DEFAULT '',
    findable_by_email INTEGER NOT NULL DEFAULT 1,
    password_hash     TEXT    NOT NULL,
    role              INTEGER NOT NULL DEFAULT 0,
    disabled          INTEGER NOT NULL DEFAULT 0,
    created_at        INTEGER NOT NULL
);
CREATE INDEX user_by_nickname ON user (folded, uid) WHERE disabled = 0;

-- A session that ended has no row.
CREATE TABLE session (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    uid        INTEGER NOT NULL,
    class      TEXT    NOT NULL,
    secret     BLOB    NOT NULL UNIQUE,
    client     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
);
CREATE INDEX session_by_user ON session (uid, class, id);
CREATE INDEX session_by_expiry ON session (expires_at);

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    actor   TEXT    NOT NULL,
    act     TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    detail  TEXT    NOT NULL
);

-- Contacts ---------------------------------------------------------------------------------------------------------

-- state: 0 pending, 1 accepted, 2 declined, 3 declined but shown as pending to the sender (the other side blocks them).
CREATE TABLE friend_request (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    from_uid INTEGER NOT NULL,
    to_uid   INTEGER NOT NULL,
    greeting TEXT    NOT NULL,
    state    INTEGER NOT NULL,
    at       INTEGER NOT NULL
);
CREATE UNIQUE INDEX friend_request_open ON friend_request (from_uid, to_uid) WHERE state IN (0, 3);
CREATE INDEX friend_request_sent ON friend_request (from_uid, id);
CREATE INDEX friend_request_received ON friend_request (to_uid, id) WHERE state <> 3;

CREATE TABLE contact (
    uid     INTEGER NOT NULL,
    peer    INTEGER NOT NULL,
    remark  TEXT    NOT NULL DEFAULT '',
    friend  INTEGER NOT NULL DEFAULT 0,
    blocked INTEGER NOT NULL DEFAULT 0,
    since   INTEGER NOT NULL,
    PRIMARY KEY (uid, peer)
) WITHOUT ROWID;
CREATE INDEX contact_friends ON contact (uid, peer) WHERE friend = 1;
CREATE INDEX contact_blocked ON contact (uid, peer) WHERE blocked = 1;

-- Conversations ----------------------------------------------------------------------------------------------------

-- kind: 0 direct, 1 group, 2 room. direct_a < direct_b are the two of a direct conversation.
CREATE TABLE conversation (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    shard          INTEGER NOT NULL,
    kind           INTEGER NOT NULL,
    title          TEXT    NOT NULL DEFAULT '',
    announcement   TEXT    NOT NULL DEFAULT '',
    owner          INTEGER,
    head           INTEGER NOT NULL DEFAULT 0,
    head_revision  INTEGER NOT NULL DEFAULT 0,
    head_at        INTEGER NOT NULL DEFAULT 0,
    count          INTEGER NOT NULL DEFAULT 0,
    floor          INTEGER NOT NULL DEFAULT 0,
    policy_version INTEGER NOT NULL DEFAULT 1,
    muted_all      INTEGER NOT NULL DEFAULT 0,
    members        INTEGER NOT NULL DEFAULT 0,
    created_at     INTEGER NOT NULL,
    created_by     INTEGER,
    create_key     TEXT,
    direct_a       INTEGER,
    direct_b       INTEGER
);
CREATE UNIQUE INDEX conversation_direct ON conversation (direct_a, direct_b) WHERE direct_a IS NOT NULL;
CREATE UNIQUE INDEX conversation_by_key ON conversation (created_by, create_key) WHERE created_by IS NOT NULL;
CREATE INDEX conversation_by_creator ON conversation (created_by, created_at) WHERE created_by IS NOT NULL;
CREATE INDEX conversation_rooms ON conversation (id) WHERE kind = 2;

-- role: 0 member, 1 admin, 2 owner. visible_to is set for former members.
CREATE TABLE member (
    conversation   INTEGER NOT NULL,
    uid            INTEGER NOT NULL,
    role           INTEGER NOT NULL DEFAULT 0,
    visible_from   INTEGER NOT NULL,
    visible_to     INTEGER,
    join_count     INTEGER NOT NULL,
    read           INTEGER NOT NULL,
    read_count     INTEGER NOT NULL,
    delivered      INTEGER NOT NULL,
    pinned         INTEGER NOT NULL DEFAULT 0,
    muted          INTEGER NOT NULL DEFAULT 0,
    draft          TEXT    NOT NULL DEFAULT '',
    silenced_until INTEGER NOT NULL DEFAULT 0,
    revision       INTEGER NOT NULL,
    PRIMARY KEY (conversation, uid)
) WITHOUT ROWID;
CREATE INDEX member_by_user ON member (uid, conversation);

-- kind: 0 message, 1 edited, 2 recalled, 3 reacted, 4 and above: shown in history as a line of its own.
-- digest: of the event as it was written, so that a retry is recognised even after a recall blanked the body.
CREATE TABLE entry (
    conversation INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    shard        INTEGER NOT NULL,
    revision     INTEGER NOT NULL,
    count        INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    author       INTEGER NOT NULL,
    key          TEXT    NOT NULL,
    digest       BLOB    NOT NULL,
    kind         INTEGER NOT NULL,
    target       INTEGER,
    event        BLOB    NOT NULL,
    PRIMARY KEY (conversation, seq)
) WITHOUT ROWID;
CREATE UNIQUE INDEX entry_by_revision ON entry (shard, revision);
CREATE UNIQUE INDEX entry_by_key ON entry (author, key);
CREATE INDEX entry_changes ON entry (conversation, target, kind) WHERE target IS NOT NULL;
CREATE INDEX entry_shown ON entry (conversation, seq) WHERE kind > 3;

-- The current state of each message; body is NULL once recalled.
CREATE TABLE message (
    conversation INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    count        INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    author       INTEGER NOT NULL,
    key          TEXT    NOT NULL,
    body         BLOB,
    reply_to     INTEGER,
    edited_at    INTEGER,
    PRIMARY KEY (conversation, seq)
) WITHOUT ROWID;

CREATE TABLE reaction (
    conversation INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    emoji        TEXT    NOT NULL,
    uid          INTEGER NOT NULL,
    PRIMARY KEY (conversation, seq, emoji, uid)
) WITHOUT ROWID;

-- The user log, compact: one row per subject with its latest revision; what it says is read from the subject itself.
-- kind: 0 request, 1 friend, 2 membership, 3 conversation, 4 profile; subject: the id of that.
CREATE TABLE user_entry (
    uid      INTEGER NOT NULL,
    kind     INTEGER NOT NULL,
    subject  INTEGER NOT NULL,
    shard    INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (uid, kind, subject)
) WITHOUT ROWID;
CREATE UNIQUE INDEX user_entry_by_revision ON user_entry (shard, revision);
CREATE INDEX user_entry_sync ON user_entry (uid, revision) WHERE kind <> 2;
