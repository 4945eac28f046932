//! People by the beginning of their name, beside a linear scan over the same names in memory: what the index is worth.
//!
//! The scan has no request, no store and no profile to answer, only the comparisons; it grows with the number of people.

use crate::report::{self, count};
use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use hdrhistogram::Histogram;
use serde::Serialize;
use skein_domain::account::DeviceClass;
use skein_protocol::{Reply, Request, v1};
use skein_sdk::connection::{Address, Auth, Connection, Scheme};
use skein_testkit::seed::Seed;
use skein_testkit::server::{Options, ServerProcess};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

/// Accounts made at once, so that they share commits.
const AT_ONCE: usize = 256;
/// Of ten people with one beginning, all are found.
const SHARE_A_BEGINNING: usize = 10;

pub struct Plan {
    pub people: Vec<usize>,
    pub searches: usize,
}

#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub people: usize,
    pub search_p50_us: u64,
    pub search_p99_us: u64,
    pub scan_p50_us: u64,
    pub scan_p99_us: u64,
}

/// Each number of people on a fresh data folder below `folder`.
pub async fn run(plan: &Plan, folder: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for &people in &plan.people {
        eprintln!("{people} people …");
        let folder = tempfile::tempdir_in(folder).context("make a data folder")?;
        rows.push(one(people, plan.searches, &folder.path().join("data")).await?);
    }
    Ok(rows)
}

pub fn table(rows: &[Row]) -> String {
    let cells = |row: &Row| {
        let Row { people, search_p50_us, search_p99_us, scan_p50_us, scan_p99_us } = *row;
        [people as u64, search_p50_us, search_p99_us, scan_p50_us, scan_p99_us].map(|number| count(number as f64))
    };
    report::table(["people", "search p50 µs", "p99 µs", "scan in memory p50 µs", "p99 µs"], &rows.iter().map(cells).collect::<Vec<_>>())
}

async fn one(people: usize, searches: usize, data: &Path) -> Result<Row> {
    ensure!(people >= 2 * SHARE_A_BEGINNING, "at least {} people", 2 * SHARE_A_BEGINNING);
    let names: Vec<String> = (0..people).map(|n| format!("p{:07}x{}", n / SHARE_A_BEGINNING, n % SHARE_A_BEGINNING)).collect();
    let seed = Seed::open(data)?;
    let uids: Vec<_> = stream::iter(&names).map(|name| seed.user(name)).buffered(AT_ONCE).try_collect().await?;
    let token = seed.session(*uids.first().context("nobody to search")?, DeviceClass::Cli).await?;
    seed.close();
    // What is measured must not be the limits of one user.
    let options = Options::on(data).set("telemetry.log", "warn").set("comet.commands_per_second", 1_000_000);
    let options = options.set("comet.commands_burst", 1_000_000).set("logic.contact.searches", "{burst=1000000,every_ms=1}");
    let mut server = ServerProcess::start(options).await?;
    let tcp = server.endpoints()?.tcp;
    let address = Address { scheme: Scheme::Tcp, host: tcp.ip().to_string(), port: tcp.port(), path: String::new() };
    let (connection, _pushes, _) = Connection::connect(&address, Auth::Token(token)).await.context("log in")?;

    let (mut search_us, mut scan_us) = (Histogram::<u64>::new(3)?, Histogram::<u64>::new(3)?);
    for nth in 0..searches {
        // Spread over all but the first, who searches.
        let beginning = format!("p{:07}", 1 + nth * 7_919 % (people / SHARE_A_BEGINNING - 1));
        let start = Instant::now();
        let found = search(&connection, &beginning).await?;
        search_us.record(start.elapsed().as_micros() as u64)?;
        let start = Instant::now();
        let scanned = black_box(&names).iter().filter(|name| name.starts_with(&beginning)).count();
        scan_us.record(start.elapsed().as_micros() as u64)?;
        ensure!(found == scanned, "{beginning}: the server found {found}, a scan {scanned}");
    }
    server.terminate().await?;
    let [search_p50_us, search_p99_us] = [0.5, 0.99].map(|part| search_us.value_at_quantile(part));
    let [scan_p50_us, scan_p99_us] = [0.5, 0.99].map(|part| scan_us.value_at_quantile(part));
    Ok(Row { people, search_p50_us, search_p99_us, scan_p50_us, scan_p99_us })
}

async fn search(connection: &Connection, beginning: &str) -> Result<usize> {
    let request = Request::Search(v1::Search { nickname: beginning.to_owned(), ..v1::Search::default() });
    match connection.request(request).await? {
        Reply::Profiles(page) => Ok(page.profiles.len()),
        other => anyhow::bail!("a search was answered by {other:?}"),
    }
}
