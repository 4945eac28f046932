-- Who publishes each shard's log. node and tenant are of whoever has or had it; nobody yet: '', 0.
CREATE TABLE IF NOT EXISTS shard_lease (
    shard      INT          PRIMARY KEY,
    node       VARCHAR(255) NOT NULL,
    tenant     BIGINT       NOT NULL,
    fence      BIGINT       NOT NULL,
    expires_at BIGINT       NOT NULL
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ENGINE = InnoDB;
