//! Whether the statements that run often find what they want by an index, among many rows.

use super::{Database, admin};
use crate::mysql::Address;
use crate::mysql::session::{Purpose, Session};
use crate::sql::engine::{Row, Sql, Statement, Value};
use crate::sql::statements;
use crate::sql::transaction::many;

/// One user with 5,000 friends, each with a direct conversation; one conversation with 20,000 messages.
const MANY_ROWS: &[&str] = &[
    "INSERT INTO user (uid, email, nickname, folded, password_hash, created_at)
        SELECT seq, CONCAT(seq, '@example.org'), CONCAT('n', seq), CONCAT('n', seq), '', 0 FROM seq_1_to_5001",
    "INSERT INTO contact (uid, peer, friend, since) SELECT 1, uid, 1, 0 FROM user WHERE uid > 1",
    "INSERT INTO contact (uid, peer, friend, since) SELECT uid, 1, 1, 0 FROM user WHERE uid > 1",
    "INSERT INTO conversation (shard, kind, members, created_at, direct_a, direct_b) SELECT 0, 0, 2, 0, 1, uid FROM user WHERE uid > 1",
    "INSERT INTO conversation (shard, kind, members, created_at, created_by, create_key)
        SELECT 0, 2, 0, 0, 1 + seq % 7, CONCAT('k', seq) FROM seq_1_to_2000",
    "INSERT INTO member (conversation, uid, visible_from, join_count, `read`, read_count, delivered, revision)
        SELECT id, direct_a, 1, 0, 0, 0, 0, 1 FROM conversation WHERE kind = 0",
    "INSERT INTO member (conversation, uid, visible_from, join_count, `read`, read_count, delivered, revision)
        SELECT id, direct_b, 1, 0, 0, 0, 0, 1 FROM conversation WHERE kind = 0",
    "INSERT INTO friend_request (from_uid, to_uid, greeting, state, at) SELECT 1, uid, '', 1, 0 FROM user WHERE uid > 1",
    "INSERT INTO friend_request (from_uid, to_uid, greeting, state, at) SELECT uid, 1, '', 1, 0 FROM user WHERE uid > 1",
    "INSERT INTO entry (conversation, seq, shard, revision, count, at, author, `key`, digest, kind, event)
        SELECT 1 + seq % 3, seq, 0, seq, seq, 0, 1 + seq % 2, CONCAT('k', seq), '0123456789abcdef', IF(seq % 50 = 0, 4, 0), '{}'
        FROM seq_1_to_20000",
    "INSERT INTO message (conversation, seq, count, at, author, `key`, body)
        SELECT conversation, seq, count, 0, author, `key`, '{}' FROM entry WHERE kind = 0",
    "INSERT INTO reaction (conversation, seq, emoji, uid) SELECT conversation, seq, 'x', author FROM message",
    "INSERT INTO user_entry (uid, kind, subject, shard, revision) SELECT 1 + seq % 5, 1, seq, 0, 20000 + seq FROM seq_1_to_5000",
    "INSERT INTO api_key (app, name, hash, scope, per_second, created_at) SELECT 1, 'a', UNHEX(SHA2(seq, 256)), '', 1, 0 FROM seq_1_to_500",
    "INSERT INTO waiting_push (push, app, request, due) SELECT CONCAT('p', seq), 1, '', seq FROM seq_1_to_2000",
    "INSERT INTO push_key (app, name, digest, push, used_at) SELECT 1, CONCAT('k', seq), UNHEX(SHA2(seq, 256)), 'p', seq FROM seq_1_to_2000",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_sync_and_lists_use_indexes_with_many_rows() {
    let database = Database::new(1);
    let _store = database.store();
    for statement in MANY_ROWS {
        let statement = statement.replace("INSERT INTO ", &format!("INSERT INTO {}.", database.name));
        admin(&qualify(&statement, &database.name));
    }
    for table in ["user", "contact", "conversation", "member", "friend_request", "entry", "message", "reaction", "user_entry"] {
        admin(&format!("ANALYZE TABLE {}.{table}", database.name));
    }
    let primary = Address::primary(&database.config.mysql).unwrap();
    let plans = std::thread::spawn(move || {
        let session = primary.log_in(Purpose::Write).unwrap();
        let explain = |(name, statement): (&'static str, Statement)| (name, plan(&session, statement, values(name)));
        statements::that_must_use_an_index().into_iter().map(explain).collect::<Vec<_>>()
    });
    for (name, steps) in plans.join().unwrap() {
        assert!(!steps.is_empty());
        for step in &steps {
            // Nothing was found by a whole key: no more has to be read.
            let is_done = step.extra.contains("Impossible WHERE noticed after reading const tables");
            let is_found = matches!(step.kind.as_deref(), Some("const" | "eq_ref" | "ref" | "range"));
            assert!(is_done || is_found, "{name} scans: {} {}", step.told, step.extra);
            assert!(!step.extra.contains("filesort") && !step.extra.contains("temporary"), "{name} sorts: {} {}", step.told, step.extra);
        }
    }
}

struct Step {
    kind: Option<String>,
    extra: String,
    /// Table, kind and key, for who reads about a failure.
    told: String,
}

/// Of the types the statement is given in earnest: an index helps no other.
fn values(name: &str) -> Vec<Value<'static>> {
    match name {
        "key by hash" => vec![Value::Blob(&[7; 32])],
        "by nickname" => vec![Value::Text("n20"), Value::Int(10), Value::Text("n21"), Value::Int(100)],
        _ => [1, 10, 15_000, 100, 100].map(Value::Int).to_vec(),
    }
}

fn plan(session: &Session, statement: Statement, values: Vec<Value<'_>>) -> Vec<Step> {
    session.limit(std::time::Duration::from_secs(20));
    let text: &'static str = format!("EXPLAIN {}", statement.mysql).leak();
    let read = |row: &Row<'_>| {
        let column = |at: usize| row.get::<Option<String>>(at);
        let told = format!("{:?} {:?} {:?}", column(2)?, column(3)?, column(5)?);
        Ok(Step { kind: column(3)?, extra: column(9)?.unwrap_or_default(), told })
    };
    many(session as &dyn Sql, text, &values, read).unwrap()
}

/// Tables of the statement, in this database; the sequences are everywhere.
fn qualify(statement: &str, database: &str) -> String {
    let tables = ["user", "contact", "conversation", "entry", "message"];
    tables.iter().fold(statement.to_owned(), |text, table| text.replace(&format!(" FROM {table}"), &format!(" FROM {database}.{table}")))
}
