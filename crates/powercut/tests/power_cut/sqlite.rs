//! SQLite in WAL mode, the way the product uses it: what it acknowledged under `synchronous=FULL` survives every cut.

use crate::lab::Lab;
use rusqlite::Connection;
use skein_powercut::Options;
use std::time::Duration;

const FAST: Options = Options {
    fsync_delay: Duration::ZERO,
    fail_from_fsync: None,
    kill_at_fsync: None,
    skip_real_fsync: true,
    spare_names: false,
    keep_nothing: false,
};

fn start(lab: &Lab, synchronous: &str, options: &Options) -> crate::lab::Probe {
    let database = lab.path("rows.db");
    lab.start(options, &["sqlite", database.to_str().expect("utf-8"), synchronous])
}

fn last(said: &[String], word: &str) -> i64 {
    said.iter().rev().find_map(|line| line.strip_prefix(word)?.trim().parse().ok()).unwrap_or(0)
}

/// Runs until this many rows are acknowledged, then kills. Returns the last acknowledged row.
fn run_and_kill(lab: &Lab, synchronous: &str, options: &Options, rows: usize) -> i64 {
    let mut probe = start(lab, synchronous, options);
    let mut said = probe.until("ready");
    while said.iter().filter(|line| line.starts_with("ack")).count() < rows {
        said.push(probe.line().expect("the probe goes on"));
    }
    said.extend(probe.kill());
    last(&said, "ack")
}

/// Rows 1 to n, each once and whole, and a sound database. Returns n, or none if there is no table any more.
fn sound_rows(lab: &Lab) -> Option<i64> {
    let connection = Connection::open(lab.path("rows.db")).expect("open");
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("check");
    assert_eq!(verdict, "ok");
    connection.query_row("SELECT 1 FROM sqlite_schema WHERE name = 'total'", [], |_| Ok(())).ok()?;
    let numbers = "SELECT count(*), coalesce(max(id), 0), (SELECT rows FROM total) FROM row";
    let (count, highest, total): (i64, i64, Option<i64>) =
        connection.query_row(numbers, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("count");
    assert_eq!((count, total.unwrap_or(0)), (highest, highest), "a transaction was torn");
    Some(highest)
}

#[test]
fn every_acknowledged_row_survives_with_synchronous_full() {
    let lab = Lab::new();
    let mut acked = 0;
    for round in 0..12 {
        let options = Options { skip_real_fsync: round % 4 != 0, ..FAST };
        acked = acked.max(run_and_kill(&lab, "FULL", &options, 1 + round * 37 % 90));
        if round % 3 == 2 {
            continue; // only a kill: the next process goes on with the journal
        }
        lab.cut().expect("cut");
        let rows = sound_rows(&lab).expect("the tables are durable");
        assert!(rows >= acked, "round {round}: {acked} rows acknowledged, {rows} there");
    }
}

#[test]
fn acknowledged_rows_are_lost_with_synchronous_off() {
    let lab = Lab::new();
    let acked = run_and_kill(&lab, "OFF", &FAST, 50);
    let undone = lab.cut().expect("cut");
    let rows = sound_rows(&lab).expect("the tables were made with synchronous=FULL");
    assert!(undone.files > 0 && rows < acked, "{acked} rows acknowledged, {rows} there: the test proves nothing");
}

#[test]
fn a_kill_in_a_commit_leaves_a_sound_database() {
    let mut caught = 0;
    for kill_at in 1..=40 {
        for cut in [true, false] {
            let lab = Lab::new();
            let said = start(&lab, "FULL", &Options { kill_at_fsync: Some(kill_at), ..FAST }).killed();
            if cut {
                lab.cut().expect("cut");
            }
            let (begun, acked) = (last(&said, "begin"), last(&said, "ack"));
            let rows = sound_rows(&lab).unwrap_or(0);
            assert!((acked..=begun).contains(&rows), "at {kill_at}: {rows} rows, {acked} acknowledged, {begun} begun");
            caught += usize::from(begun > acked);
        }
    }
    assert!(caught >= 10, "only {caught} kills fell into a commit");
}

#[test]
fn a_failing_disk_ends_the_writer_and_loses_no_acknowledged_row() {
    let lab = Lab::new();
    let mut probe = start(&lab, "FULL", &Options { fail_from_fsync: Some(60), ..FAST });
    let mut said = Vec::new();
    while let Some(line) = probe.line() {
        said.push(line);
    }
    probe.kill();
    lab.cut().expect("cut");
    let acked = last(&said, "ack");
    let rows = sound_rows(&lab).expect("the tables are durable");
    assert!(acked > 0 && rows >= acked, "{acked} rows acknowledged, {rows} there");
}
