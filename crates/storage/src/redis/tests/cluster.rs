//! The conformance suites on a Redis Cluster.

use super::super::{Redis, RedisBroadcasts, RedisCodes, RedisGuests, RedisNodes, RedisReceipts, RedisSessions};
use crate::conformance::{broadcasts, codes, guests, nodes, receipts, sessions};
use skein_domain::port::Clock;
use std::sync::{Arc, LazyLock};
use xtask::services::{self, Service};

/// With keys of its own, on the cluster all tests share.
pub(in crate::redis) fn cluster() -> Redis {
    static URLS: LazyLock<String> = LazyLock::new(|| services::require(Service::RedisCluster).expect("a cluster"));
    super::on(URLS.split(',').map(str::to_owned).collect())
}

fn at(clock: Arc<dyn Clock>) -> Redis {
    cluster().shifted(clock)
}

crate::session_registry_suite!((|clock| Arc::new(RedisSessions::new(at(clock)))) as sessions::Maker);
crate::node_registry_suite!((|clock| Arc::new(RedisNodes::new(at(clock), "a").expect("nodes"))) as nodes::Maker);
crate::code_store_suite!((|| Arc::new(RedisCodes::new(cluster()))) as codes::Maker);
crate::guest_registry_suite!((|clock| Arc::new(RedisGuests::new(at(clock)))) as guests::Maker);
crate::broadcast_queue_suite!((|clock, max| Arc::new(RedisBroadcasts::bounded(at(clock), max))) as broadcasts::Maker);
crate::receipt_store_suite!((|clock| Arc::new(RedisReceipts::new(at(clock)))) as receipts::Maker);
