//! What the store and the registries count.

use skein_domain::metric::{Metric, counter, gauge, histogram};

pub const METRICS: &[Metric] = &[
    histogram("skein_store_batch_commands", "", "Commands in one commit"),
    histogram("skein_store_commit_seconds", "", "Time of one commit, mostly that of the disk's sync"),
    gauge("skein_store_queue_commands", "", "Commands waiting for the writer"),
    histogram("skein_store_queue_seconds", "", "How long the command of a commit that waited longest had waited for the writer"),
    counter(
        "skein_store_replica_reads_total",
        "outcome",
        "Reads of logs the replica served, or left to the primary because it was behind or failed",
    ),
    counter("skein_store_retries_total", "", "Batches run again after a deadlock or a lost connection to the database"),
    histogram("skein_store_read_seconds", "", "Time of one read"),
    histogram("skein_store_wait_seconds", "pool", "Time a read waited for a connection"),
    gauge("skein_store_connections", "pool state", "Connections for reading, lent and idle"),
    counter("skein_store_overdue_total", "pool", "Reads that had a connection for too long"),
    counter("skein_store_busy_total", "at", "Commands and reads refused because too many waited"),
    counter("skein_store_far_ids_total", "", "Lookups of ids nobody can have, answered without the database"),
    counter("skein_store_full_total", "", "Commits refused by a full disk"),
    gauge("skein_store_log_pages", "", "Pages of the write-ahead log at the last checkpoint"),
    gauge("skein_registry_sessions", "", "Sessions registered as connected"),
    gauge("skein_registry_guests", "", "Guests registered as connected"),
    gauge("skein_registry_tickets", "", "Connect tickets not yet used"),
    counter("skein_registry_full_total", "", "Registrations refused by a full registry"),
    gauge("skein_code_addresses", "", "E-mail addresses with codes or limits in memory"),
    gauge("skein_redis_connections", "", "Connections to Redis"),
    counter("skein_redis_pool_timeouts_total", "", "Calls refused because no connection to Redis was free in time"),
    counter("skein_redis_failures_total", "", "Calls to Redis that failed"),
    counter(
        "skein_cache_lookups_total",
        "cache tier",
        "Lookups in front of the store, by what answered: memory, redis, or the store itself",
    ),
    counter("skein_cache_bypassed_total", "cache", "Lookups that went to the store because Redis failed or a change was under way"),
    counter("skein_kafka_records_total", "outcome", "Records given to Kafka: acked or failed"),
    counter(
        "skein_kafka_pushes_left_out_total",
        "reason",
        "Transient pushes taken from Kafka and not handed on: older than a minute, or not readable",
    ),
    counter("skein_kafka_failures_total", "", "Errors the Kafka client told of"),
    gauge("skein_kafka_lag_records", "topic partition", "Records in Kafka that the job is not done with"),
    gauge("skein_kafka_partitions", "topic", "Partitions this node's job has"),
    counter("skein_kafka_rebalances_total", "topic", "Changes of the partitions this node's job has"),
    gauge("skein_kafka_queued_bytes", "topic", "Bytes waiting in the producer"),
];
