use super::{Config, Redis, RedisCodes, RedisNodes, RedisSessions};
use crate::conformance::{codes, nodes, sessions};
use skein_domain::port::Clock;
use std::sync::{Arc, LazyLock};
use std::sync::atomic::{AtomicU32, Ordering};
use xtask::services::{self, Service};

/// Each with keys of its own.
fn redis() -> Redis {
    static NTH: AtomicU32 = AtomicU32::new(0);
    static URL: LazyLock<String> = LazyLock::new(|| services::require(Service::Redis).expect("redis"));
    let prefix = format!("test:{}:{}:", std::process::id(), NTH.fetch_add(1, Ordering::Relaxed));
    Redis::new(&Config { urls: vec![URL.clone()], prefix, ..Config::default() }).expect("redis")
}

fn at(clock: Arc<dyn Clock>) -> Redis {
    redis().shifted(clock)
}

crate::session_registry_suite!((|clock| Arc::new(RedisSessions::new(at(clock)))) as sessions::Maker);
crate::node_registry_suite!((|clock| Arc::new(RedisNodes::new(at(clock)))) as nodes::Maker);
crate::code_store_suite!((|| Arc::new(RedisCodes::new(redis()))) as codes::Maker);
