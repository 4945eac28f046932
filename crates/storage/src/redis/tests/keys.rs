//! Every key, as the table in the operator guide has it.

use super::super::cache::tests::{NOW, Two, keys, log_in, two};
use super::super::{Redis, RedisBroadcasts, RedisCodes, RedisGuests, RedisNodes, RedisReceipts, RedisSessions};
use crate::conformance::{guests, receipts};
use redis::Cmd;
use skein_domain::account::{CodePurpose, DeviceClass, SecretHash};
use skein_domain::id::{Generation, Millis, NodeId, Revision, Seq, SessionId, Uid};
use skein_domain::live::{Priority, RoomName};
use skein_domain::port::{
    Broadcast, BroadcastQueue, CodeLimits, CodeStore, CometAddress, GuestRegistry, NodeInfo, NodeOnline, NodeRegistry, ReceiptStore, Route,
    SessionRegistry,
};
use std::collections::BTreeSet;

const GUIDE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operator-guide.md"));
const LEASE_MS: i64 = 90_000;

/// A row of the table; a row with several patterns is several.
#[derive(Debug)]
struct Row {
    pattern: &'static str,
    kind: &'static str,
    ttl_ms: i64,
    bytes: i64,
}

fn table() -> Vec<Row> {
    let rows = GUIDE.lines().skip_while(|line| !line.starts_with("| key | type | owner |")).skip(2);
    let rows: Vec<Row> = rows.take_while(|line| line.starts_with('|')).flat_map(rows_of).collect();
    assert!(rows.len() > 15, "the table is not found");
    rows
}

fn rows_of(line: &'static str) -> Vec<Row> {
    let cells: Vec<&'static str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [keys, kind, _owner, _what, life, size] = cells.as_slice() else { panic!("six columns: {line}") };
    let ttl_ms = first(life, &[(" s", 1_000), (" min", 60_000), (" h", 3_600_000), (" day", 86_400_000)]);
    let bytes = first(size, &[(" B", 1), (" KiB", 1_024), (" MiB", 1_024 * 1_024)]);
    keys.split('`').skip(1).step_by(2).map(|pattern| Row { pattern, kind, ttl_ms, bytes }).collect()
}

/// The number with its unit that the cell begins with.
fn first(cell: &str, units: &[(&str, i64)]) -> i64 {
    let digits = cell.find(|character: char| !character.is_ascii_digit()).unwrap_or(cell.len());
    let number: i64 = cell[..digits].parse().unwrap_or_else(|_| panic!("a number first: {cell}"));
    let (_, unit) = units.iter().find(|(name, _)| cell[digits..].starts_with(name)).unwrap_or_else(|| panic!("a unit: {cell}"));
    number * unit
}

/// Whether the key is of the pattern, whose `<…>` stand for anything.
fn is_of(key: &str, pattern: &str) -> bool {
    let mut rest = key;
    for (nth, part) in pattern.split('<').enumerate() {
        let literal = if nth == 0 { part } else { part.split_once('>').expect("closed").1 };
        let Some(at) = rest.find(literal) else { return false };
        // What `<…>` stands for is not empty, and at the end it is all that is left.
        let is_last = nth > 0 && literal.is_empty();
        if nth == 0 && at != 0 || nth > 0 && (if is_last { rest.is_empty() } else { at == 0 }) {
            return false;
        }
        rest = if is_last { "" } else { &rest[at + literal.len()..] };
    }
    rest.is_empty()
}

fn row_of<'t>(key: &str, table: &'t [Row]) -> Option<&'t Row> {
    let literal = |row: &&Row| row.pattern.split('<').map(|part| part.split_once('>').map_or(part, |(_, rest)| rest).len()).sum::<usize>();
    table.iter().filter(|row| is_of(key, row.pattern)).max_by_key(literal)
}

/// Of the registries.
async fn write_each_kind(redis: &Redis) {
    let node = NodeId("node-a".into());
    let sessions = RedisSessions::new(redis.clone());
    let route = Route { uid: Uid(5), class: DeviceClass::Web, node: node.clone(), session: SessionId(1), generation: Generation(1) };
    sessions.register(route, LEASE_MS).await.expect("register");

    let nodes = RedisNodes::new(redis.clone(), "a").expect("nodes");
    nodes
        .announce(NodeInfo { node: node.clone(), comet: CometAddress::default(), connections: 1, draining: false }, LEASE_MS)
        .await
        .expect("announce");
    nodes.put_ticket(SecretHash([7; 32]), SessionId(1), node.clone(), 60_000).await.expect("ticket");

    let codes = RedisCodes::new(redis.clone());
    let limits = CodeLimits { ttl_ms: 300_000, codes_per_hour: 5, checks_per_hour: 10 };
    codes.put("ann@example.org", CodePurpose::Register, "123456", NOW, limits).await.expect("code");
    codes.check("ann@example.org", CodePurpose::Register, "654321", NOW, limits).await.expect_err("wrong");

    let guests_there = RedisGuests::new(redis.clone());
    guests_there.register(guests::route("k1", 7, 1, "node-a"), LEASE_MS).await.expect("guest");
    let rooms = vec![(RoomName::parse("live://1").expect("name"), 3)];
    let online = NodeOnline { node, rooms, connections: 3, addresses: 1, weight: 1, at: Millis(5_000) };
    guests_there.put_online(online, LEASE_MS).await.expect("online");

    let broadcasts = RedisBroadcasts::new(redis.clone());
    for number in 0..100 {
        let broadcast = Broadcast { node: NodeId("node-a".into()), number };
        broadcasts.join(&broadcast, Priority::Normal, 15_000).await.expect("join");
    }
    broadcasts.claim(&NodeId("node-a".into()), 15_000).await.expect("claim").expect("the first");

    RedisReceipts::new(redis.clone()).put(receipts::receipt("0123456789abcdef")).await.expect("receipt");
}

async fn fill_the_caches(two: &Two) {
    let ports = &two.here.ports;
    let (ann, bob) = (two.here.user("ann").await, two.here.user("bob").await);
    let group = two.here.group(ann, &[bob]).await;
    let mut head = Seq(0);
    for n in 0..200 {
        head = two.here.say(group, ann, &format!("message {n}, about as long as most of them are")).await.seq;
    }
    ports.messages.newest(group, head, Revision(0), 100).await.expect("newest");
    ports.accounts.profiles(&[ann, bob]).await.expect("profiles");
    two.here.room(ann).await;
    ports.conversations.rooms(None, 50).await.expect("rooms");
    log_in(&*ports.accounts, ann, 1).await;
    ports.accounts.session_by_secret(SecretHash([1; 32]), NOW).await.expect("session");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_is_in_the_table_with_its_type_its_time_to_live_and_its_size() {
    let (table, two) = (table(), two().await);
    write_each_kind(&two.redis).await;
    fill_the_caches(&two).await;
    let mut seen = BTreeSet::new();
    for full in keys(&two.redis, "*").await {
        let key = full.strip_prefix(&two.redis.key("")).expect("our prefix");
        let row = row_of(key, &table).unwrap_or_else(|| panic!("{key} is not in the table"));
        let kind: String = two.redis.query(redis::cmd("TYPE").arg(&full)).await.expect("type");
        assert_eq!(kind, row.kind, "{key}");
        let ttl_ms: i64 = two.redis.query(&Cmd::pttl(&full)).await.expect("ttl");
        assert!((1..=row.ttl_ms).contains(&ttl_ms), "{key} lives {ttl_ms} ms, the table says {}", row.ttl_ms);
        let bytes: i64 = two.redis.query(redis::cmd("MEMORY").arg("USAGE").arg(&full)).await.expect("size");
        assert!(bytes <= row.bytes, "{key} has {bytes} bytes, the table says {}", row.bytes);
        seen.insert(row.pattern);
    }
    let never: Vec<&str> = table.iter().map(|row| row.pattern).filter(|pattern| !seen.contains(pattern)).collect();
    assert_eq!(never, [] as [&str; 0], "in the table, and never written");
}

#[test]
fn patterns_match_whole_keys() {
    assert!(is_of("session:1", "session:<session>") && !is_of("session:", "session:<session>"));
    assert!(is_of("code:{ab}:issued", "code:{<hash>}:issued") && !is_of("code:{ab}:other", "code:{<hash>}:issued"));
    assert!(is_of("nodes", "nodes") && !is_of("nodes2", "nodes") && !is_of("at:a", "t:<node>"));
}
