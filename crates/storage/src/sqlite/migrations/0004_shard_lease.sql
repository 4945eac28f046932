-- Who publishes each shard's log. node and tenant are of whoever has or had it; nobody yet: '', 0.
CREATE TABLE shard_lease (
    shard      INTEGER PRIMARY KEY,
    node       TEXT    NOT NULL,
    tenant     INTEGER NOT NULL,
    fence      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
);

INSERT INTO shard_lease (shard, node, tenant, fence, expires_at) SELECT id, '', 0, 0, 0 FROM shard;
