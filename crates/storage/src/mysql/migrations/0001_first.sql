-- One statement is one step; a step that was done is never changed. Every step can be repeated, because definitions commit
-- by themselves and the note that one is done comes after it.
--
-- Times are Unix milliseconds, flags 0 or 1. Texts compare by code point. Ids are never used twice.

CREATE TABLE IF NOT EXISTS meta (
    id         INT    PRIMARY KEY,
    epoch      BIGINT NOT NULL,
    shards     INT    NOT NULL,
    created_at BIGINT NOT NULL
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE = InnoDB;


-- Its rows are the store's write lock: see sql/transaction.rs.
CREATE TABLE IF NOT EXISTS shard (
    id        INT    PRIMARY KEY,
    revision  BIGINT NOT NULL,
    published BIGINT NOT NULL
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE = InnoDB;


CREATE TABLE IF NOT EXISTS user (
    uid               BIGINT       PRIMARY KEY AUTO_INCREMENT,
    email             VARCHAR(320) NOT NULL,
    nickname          VARCHAR(255) NOT NULL,
    folded            VARCHAR(255) NOT NULL,
    signature         VARCHAR(2000) NOT NULL DEFAULT '',
    findable_by_email TINYINT      NOT NULL DEFAULT 1,
    password_hash     VARCHAR(255) NOT NULL,
    role              TINYINT      NOT NULL DEFAULT 0,
    disabled          TINYINT      NOT NULL DEFAULT 0,
    created_at        BIGINT       NOT NULL,
    UNIQUE KEY user_by_email (email),
    KEY user_by_nickname (disabled, folded, uid)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE = InnoDB;


-- A session that ended has no row.
CREATE TABLE IF NOT EXISTS session (
    id         BIGINT       PRIMARY KEY AUTO_INCREMENT,
    uid        BIGINT       NOT NULL,
    class      VARCHAR(16)  NOT NULL,
    secret     BINARY(32)   NOT NULL,
    client     VARCHAR(255) NOT NULL,
    created_at BIGINT       NOT NULL,
    seen_at    BIGINT       NOT NULL,
    expires_at BIGINT       NOT NULL,
    UNIQUE KEY session_by_secret (secret),
    KEY session_by_user (uid, class, id),
    KEY session_by_expiry (expires_at)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE = InnoDB;


CREATE TABLE IF NOT EXISTS audit (
    id      BIGINT PRIMARY KEY AUTO_INCREMENT,
    at      BIGINT NOT NULL,
    actor   TEXT   NOT NULL,
    act     TEXT   NOT NULL,
    subject TEXT   NOT NULL,
    detail  TEXT   NOT NULL
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE = InnoDB;


-- state: 0 pending, 1 accepted, 2 declined, 3 declined but shown as pending to the sender (the other side blocks them).
-- is_open is 1 for states 0 and 3 and NULL for the others, of which there may be many.
CREATE TABLE IF NOT EXISTS friend_request (
    id       BIGINT  PRIMARY KEY AUTO_INCREMENT,
    from_uid BIGINT  NOT NULL,
    to_uid   BIGINT  NOT NULL,
    greeting TEXT    NOT NULL,
    state    TINYINT NOT NULL,
    at       BIGINT  NOT NULL,
    is_open  TINYINT AS (CASE WHEN state IN (0, 3) THEN 1 END) STORED,
    UNIQUE KEY friend_request_open (from_uid, to_uid, is_open),
    KEY friend_request_sent (from_uid, id),
    KEY friend_request_received (to_uid, id)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE = InnoDB;


CREATE TABLE IF NOT EXISTS contact (
    uid     BIGINT       NOT NULL,
    peer    BIGINT       NOT NULL,
    remark  VARCHAR(255) NOT NULL DEFAULT '',
    friend  TINYINT      NOT NULL DEFAULT 0,
    blocked TINYINT      NOT NULL DEFAULT 0,
    since   BIGINT       NOT NULL,
    PRIMARY KEY (uid, peer),
    KEY contact_friends (uid, friend, peer),
    KEY contact_blocked (uid, blocked, peer)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE = InnoDB;


-- kind: 0 direct, 1 group, 2 room, 3 notice. direct_a < direct_b are the two of a direct conversation or a notice.
CREATE TABLE IF NOT EXISTS conversation (
    id             BIGINT       PRIMARY KEY AUTO_INCREMENT,
    shard          INT          NOT NULL,
    kind           TINYINT      NOT NULL,
    title          VARCHAR(255) NOT NULL DEFAULT '',
    announcement   VARCHAR(4000) NOT NULL DEFAULT '',
    owner          BIGINT,
    head           BIGINT       NOT NULL DEFAULT 0,
    head_revision  BIGINT       NOT NULL DEFAULT 0,
    head_at        BIGINT       NOT NULL DEFAULT 0,
    count          BIGINT       NOT NULL DEFAULT 0,
    floor          BIGINT       NOT NULL DEFAULT 0,
    policy_version BIGINT       NOT NULL DEFAULT 1,
    muted_all      TINYINT      NOT NULL DEFAULT 0,
    members        INT          NOT NULL DEFAULT 0,
    created_at     BIGINT       NOT NULL,
    created_by     BIGINT,
    create_key     VARCHAR(64),
    direct_a       BIGINT,
    direct_b       BIGINT,
    UNIQUE KEY conversation_direct (direct_a, direct_b),
    UNIQUE KEY conversation_by_key (created_by, create_key),
    KEY conversation_by_creator (created_by, kind, created_at),
    KEY conversation_by_kind (kind, id)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE = InnoDB;


-- role: 0 member, 1 admin, 2 owner. visible_to is set for former members; title_then is what the conversation was called
-- when they left.
CREATE TABLE IF NOT EXISTS member (
    conversation   BIGINT  NOT NULL,
    uid            BIGINT  NOT NULL,
    role           TINYINT NOT NULL DEFAULT 0,
    visible_from   BIGINT  NOT NULL,
    visible_to     BIGINT,
    join_count     BIGINT  NOT NULL,
    `read`         BIGINT  NOT NULL,
    read_count     BIGINT  NOT NULL,
    delivered      BIGINT  NOT NULL,
    pinned         TINYINT NOT NULL DEFAULT 0,
    muted          TINYINT NOT NULL DEFAULT 0,
    draft          TEXT    NOT NULL DEFAULT (''),
    silenced_until BIGINT  NOT NULL DEFAULT 0,
    revision       BIGINT  NOT NULL,
    title_then     VARCHAR(255),
    PRIMARY KEY (conversation, uid),
    KEY member_by_user (uid, conversation)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE = InnoDB;


-- kind: 0 message, 1 edited, 2 recalled, 3 reacted, 4 and above: shown in history as a line of its own.
-- digest: of the event as it was written, so that a retry is recognised even after a recall blanked the body.
CREATE TABLE IF NOT EXISTS entry (
    conversation BIGINT      NOT NULL,
    seq          BIGINT      NOT NULL,
    shard        INT         NOT NULL,
    revision     BIGINT      NOT NULL,
    count        BIGINT      NOT NULL,
    at           BIGINT      NOT NULL,
    author       BIGINT      NOT NULL,
    `key`        VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    digest       BINARY(16)  NOT NULL,
    kind         TINYINT     NOT NULL,
    target       BIGINT,
    event        MEDIUMBLOB  NOT NULL,
    is_shown     TINYINT     AS (CASE WHEN kind > 3 THEN 1 ELSE 0 END) STORED,
    PRIMARY KEY (conversation, seq),
    UNIQUE KEY entry_by_revision (shard, revision),
    UNIQUE KEY entry_by_key (author, `key`),
    KEY entry_changes (conversation, target, kind),
    KEY entry_shown (conversation, is_shown, seq)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE = InnoDB;


-- The current state of each message; body is NULL once recalled.
CREATE TABLE IF NOT EXISTS message (
    conversation BIGINT      NOT NULL,
    seq          BIGINT      NOT NULL,
    count        BIGINT      NOT NULL,
    at           BIGINT      NOT NULL,
    author       BIGINT      NOT NULL,
    `key`        VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    body         MEDIUMBLOB,
    reply_to     BIGINT,
    edited_at    BIGINT,
    PRIMARY KEY (conversation, seq)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE = InnoDB;


CREATE TABLE IF NOT EXISTS reaction (
    conversation BIGINT      NOT NULL,
    seq          BIGINT      NOT NULL,
    emoji        VARCHAR(32) NOT NULL,
    uid          BIGINT      NOT NULL,
    PRIMARY KEY (conversation, seq, emoji, uid)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE = InnoDB;


-- The user log, compact: one row per subject with its latest revision; what it says is read from the subject itself.
-- kind: 0 request, 1 friend, 2 membership, 3 conversation, 4 profile; subject: the id of that.
CREATE TABLE IF NOT EXISTS user_entry (
    uid      BIGINT  NOT NULL,
    kind     TINYINT NOT NULL,
    subject  BIGINT  NOT NULL,
    shard    INT     NOT NULL,
    revision BIGINT  NOT NULL,
    PRIMARY KEY (uid, kind, subject),
    UNIQUE KEY user_entry_by_revision (shard, revision),
    KEY user_entry_sync (uid, revision)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE = InnoDB;
