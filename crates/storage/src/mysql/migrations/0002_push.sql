-- The push platform: apps and their keys, live rooms bound to chat rooms, tags, pushes that wait.

-- An app is a user nobody logs in as.
CREATE TABLE IF NOT EXISTS app (
    name VARCHAR(255) PRIMARY KEY,
    uid  BIGINT       NOT NULL,
    UNIQUE KEY app_by_uid (uid)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE = InnoDB;


CREATE TABLE IF NOT EXISTS api_key (
    id         BIGINT       PRIMARY KEY AUTO_INCREMENT,
    app        BIGINT       NOT NULL,
    name       VARCHAR(255) NOT NULL,
    hash       BINARY(32)   NOT NULL,
    scope      TEXT         NOT NULL,
    per_second INT          NOT NULL,
    created_at BIGINT       NOT NULL,
    revoked_at BIGINT,
    UNIQUE KEY api_key_by_hash (hash)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE = InnoDB;


CREATE TABLE IF NOT EXISTS live_room (
    name         VARCHAR(512) PRIMARY KEY,
    conversation BIGINT       NOT NULL
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE = InnoDB;


CREATE TABLE IF NOT EXISTS user_tag (
    uid BIGINT       NOT NULL,
    tag VARCHAR(255) NOT NULL,
    PRIMARY KEY (uid, tag)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE = InnoDB;


-- Keys callers gave to pushes, with a digest of what they asked for.
CREATE TABLE IF NOT EXISTS push_key (
    app     BIGINT       NOT NULL,
    name    VARCHAR(255) NOT NULL,
    digest  BINARY(32)   NOT NULL,
    push    VARCHAR(255) NOT NULL,
    used_at BIGINT       NOT NULL,
    PRIMARY KEY (app, name),
    KEY push_key_by_age (used_at)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE = InnoDB;


-- Pushes whose time has not come.
CREATE TABLE IF NOT EXISTS waiting_push (
    push    VARCHAR(255) PRIMARY KEY,
    app     BIGINT       NOT NULL,
    request MEDIUMBLOB   NOT NULL,
    due     BIGINT       NOT NULL,
    expires BIGINT,
    KEY waiting_push_due (due, push),
    KEY waiting_push_by_app (app)
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE = InnoDB;
