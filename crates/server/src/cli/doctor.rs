//! `skein doctor`: looks at everything that makes a start fail or a server slow, and says what to do.

use super::{ServeArgs, runtime};
use crate::config::Config;
use crate::engines::reach;
use crate::limits::OpenFiles;
use crate::listeners::{Listener, wanted};
use anyhow::{Context, Result};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const DISK_FREE_MIN: u64 = 1 << 30;
const FSYNC_SLOW: Duration = Duration::from_millis(20);
/// 2026-01-01: no honest clock is before the day this was written.
const CLOCK_MIN: u64 = 1_767_225_600;

enum Finding {
    Good(String),
    /// Works, but should be mended.
    Warn(String, &'static str),
    /// Skein will not start or not work.
    Bad(String, &'static str),
}
use Finding::{Bad, Good, Warn};

pub fn run(args: ServeArgs) -> Result<ExitCode> {
    let data = args.data.data.as_path();
    let running = is_running(data)?;
    let mut findings = Vec::new();
    match args.load() {
        Err(error) => {
            findings.push(("configuration", Bad(format!("{error:#}"), "mend what the line names; docs/operator-guide.md lists every key")))
        }
        Ok(config) => {
            findings.push(("configuration", Good("read and valid".into())));
            findings.extend(look(&config, data, running)?);
        }
    }
    let bad = findings.iter().any(|(_, finding)| matches!(finding, Bad(..)));
    for (subject, finding) in &findings {
        show(subject, finding);
    }
    match (bad, running) {
        (true, _) => println!("\nSkein would not run well here: see ✗ above."),
        (false, true) => println!("\nA server already runs on {}.", data.display()),
        (false, false) => println!("\nReady: `{} serve`.", crate::program::program()),
    }
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn show(subject: &str, finding: &Finding) {
    match finding {
        Good(what) => println!("✓ {subject:<14} {what}"),
        Warn(what, todo) => println!("! {subject:<14} {what}\n  {:<14} → {todo}", ""),
        Bad(what, todo) => println!("✗ {subject:<14} {what}\n  {:<14} → {todo}", ""),
    }
}

fn look(config: &Config, data: &Path, running: bool) -> Result<Vec<(&'static str, Finding)>> {
    let mut findings = vec![("server", server(running, data))];
    if !running {
        for (listener, address) in wanted(config, &config.roles()?) {
            findings.push((name_of(listener), port(address)));
        }
    }
    findings.push(("data folder", folder(data)));
    findings.push(("disk space", space(data)));
    findings.push(("disk speed", fsync(data)));
    findings.push(("open files", open_files()));
    findings.push(("clock", clock()));
    findings.push(("tls", tls(config)));
    findings.extend(engines(config)?);
    findings.push(("mail", runtime()?.block_on(mail(config))));
    Ok(findings)
}

fn is_running(data: &Path) -> Result<bool> {
    let ask = crate::admin::client::ask(data, &crate::admin::Verb::Stats);
    Ok(data.join(crate::folder::ADMIN_SOCKET).exists() && runtime()?.block_on(ask).is_ok())
}

fn server(running: bool, data: &Path) -> Finding {
    if running { Good(format!("runs on {}; ports are its own", data.display())) } else { Good("does not run".into()) }
}

/// As a report calls it.
fn name_of(listener: Listener) -> &'static str {
    match listener {
        Listener::Public => "public port",
        Listener::Tcp => "tcp port",
        Listener::Push => "push port",
        Listener::Admin => "admin port",
        Listener::CometRpc => "comet rpc port",
        Listener::LogicRpc => "logic rpc port",
        other => other.setting(),
    }
}

fn port(address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Good(format!("{address} is free")),
        Err(error) => Bad(format!("{address}: {error}"), "stop what holds it, or choose another in [listen]"),
    }
}

fn folder(data: &Path) -> Finding {
    match crate::folder::ensure(data).and_then(|()| probe(data, |_| Ok(()))) {
        Ok(()) => Good(format!("{} can be written", data.display())),
        Err(error) => Bad(format!("{error:#}"), "give this user the folder, or name another with --data"),
    }
}

fn space(data: &Path) -> Finding {
    match rustix::fs::statvfs(data) {
        Err(error) => Warn(format!("unknown: {error}"), "look with `df -h`"),
        Ok(stat) => {
            let free = stat.f_bavail * stat.f_frsize;
            let text = format!("{:.1} GiB free", free as f64 / (1u64 << 30) as f64);
            if free < DISK_FREE_MIN { Warn(text, "free at least 1 GiB: a full disk refuses every message") } else { Good(text) }
        }
    }
}

/// An ack waits for one fsync: its speed is the floor of every message's latency.
fn fsync(data: &Path) -> Finding {
    const ROUNDS: u32 = 16;
    let measured = probe(data, |file| {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            file.write_all(&[0; 4096]).and_then(|()| file.sync_data()).context("write and sync")?;
        }
        Ok(start.elapsed() / ROUNDS)
    });
    match measured {
        Err(error) => Bad(format!("{error:#}"), "the disk must be able to sync"),
        Ok(each) if each > FSYNC_SLOW => {
            Warn(format!("{each:.1?} a sync"), "every ack waits that long; a disk with a protected write cache is faster")
        }
        Ok(each) => Good(format!("{each:.1?} a sync")),
    }
}

fn probe<T>(data: &Path, work: impl FnOnce(&mut std::fs::File) -> Result<T>) -> Result<T> {
    let path = data.join(format!(".doctor-{}", std::process::id()));
    let mut file = std::fs::File::create(&path).with_context(|| format!("write {}", path.display()))?;
    let outcome = work(&mut file);
    std::fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
    outcome
}

fn open_files() -> Finding {
    let limits = OpenFiles::now();
    match limits.is_plenty() {
        true => Good(format!("at most {limits}")),
        false => Warn(format!("at most {limits}"), "each connection is one: `ulimit -n 1048576` before the start"),
    }
}

fn clock() -> Finding {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    if now < CLOCK_MIN { Bad("is years behind".into(), "set it, best by NTP") } else { Good("plausible".into()) }
}

fn tls(config: &Config) -> Finding {
    match config.tls.acceptor() {
        Err(error) => Bad(format!("{error:#}"), "mend the files named in [tls]"),
        Ok(Some(_)) => Good("certificate and key fit".into()),
        Ok(None) if config.is_public() => Warn(
            "off, but the public listener is reachable from outside".into(),
            "set [tls] certificate and private_key, or put a TLS proxy before it",
        ),
        Ok(None) => Good("off; listeners are on loopback".into()),
    }
}

/// Those that are configured.
fn engines(config: &Config) -> Result<Vec<(&'static str, Finding)>> {
    let mut findings = Vec::new();
    let mut look = |name, reached: Result<()>, todo| {
        findings.push((name, reached.map_or_else(|error| Bad(format!("{error:#}"), todo), |()| Good("answers".into()))));
    };
    if config.storage.backend == skein_storage::Backend::Mysql {
        look("mysql", reach::database(&config.storage.mysql.url), "start the database, or mend storage.mysql.url");
    }
    if config.redis.is_on() {
        let reached = runtime()?.block_on(reach::redis(&config.redis));
        look("redis", reached, "start Redis, or mend redis.urls; without [redis] one process alone needs none");
    }
    if config.kafka.is_on() {
        let reached = runtime()?.block_on(reach::kafka(&config.kafka));
        look("kafka", reached, "start Kafka, or mend kafka.brokers and what they advertise; without [kafka] none is needed");
    }
    Ok(findings)
}

async fn mail(config: &Config) -> Finding {
    match crate::mail::probe(&config.mail).await {
        Ok(true) => Good("SMTP server answers".into()),
        Ok(false) if config.is_public() => {
            Bad("SMTP is not configured".into(), "set [mail]: without it nobody can register on a public address")
        }
        Ok(false) => Good("development mailbox at /dev/mailbox".into()),
        Err(error) => Bad(error.message.into_owned(), "check [mail] host, port, tls, user and password"),
    }
}
