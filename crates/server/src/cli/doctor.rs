//! `skein doctor`: looks at what makes a start fail or a server slow, and says what to do.
//!
//! **Invariant:** it changes nothing: no folder is made, no table and no topic, and what it writes to measure the disk has no
//! name and is gone with the process. Where there is no data folder yet, it looks at the place in which the first start would
//! make it.

use super::{ServeArgs, runtime};
use crate::config::Config;
use crate::limits::OpenFiles;
use crate::listeners::{Listener, wanted};
use crate::terminal::lang::Lang;
use anyhow::{Context, Result, ensure};
use rustix::fs::{Access, Mode, OFlags};
use rustix::io::Errno;
use skein_storage::OpenError;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use unicode_width::UnicodeWidthStr;

mod reach;

const DISK_FREE_MIN: u64 = 1 << 30;
const FSYNC_SLOW: Duration = Duration::from_millis(20);
/// 2026-01-01: no honest clock is before the day this was written.
const CLOCK_MIN: u64 = 1_767_225_600;
const SUBJECT_WIDTH: usize = 14;

enum Finding {
    Good(String),
    /// Works, but should be mended.
    Warn(String, &'static str),
    /// Skein will not start or not work.
    Bad(String, &'static str),
}
use Finding::{Bad, Good, Warn};

pub fn run(args: ServeArgs) -> Result<ExitCode> {
    let lang = Lang::from_environment();
    let data = args.data.data.as_path();
    let running = crate::folder::is_in_use(data);
    let mut findings = Vec::new();
    let subject = lang.pick("配置", "configuration");
    match args.read() {
        Err(error) => {
            let todo = lang.pick(
                "改正上面指出的那一行；所有配置项见 docs/operator-guide.md",
                "mend what the line names; docs/operator-guide.md lists every key",
            );
            findings.push((subject, Bad(format!("{error:#}"), todo)));
        }
        Ok(config) => {
            findings.push((subject, Good(lang.pick("已读取，有效", "read and valid").into())));
            findings.extend(look(lang, &config, data, running)?);
        }
    }
    let bad = findings.iter().any(|(_, finding)| matches!(finding, Bad(..)));
    for (subject, finding) in &findings {
        show(subject, finding);
    }
    println!("\n{}", conclusion(lang, &args, bad, running));
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn conclusion(lang: Lang, args: &ServeArgs, bad: bool, running: bool) -> String {
    let serve = format!("`{} serve{}`", crate::program::program(), args.chosen());
    let data = args.data.data.display();
    match (lang, bad, running) {
        (Lang::Zh, true, _) => "Skein 在这里运行不好：见上面的 ✗。".into(),
        (Lang::En, true, _) => "Skein would not run well here: see ✗ above.".into(),
        (Lang::Zh, false, true) => format!("{data} 上已有服务器在运行。"),
        (Lang::En, false, true) => format!("A server already runs on {data}."),
        (Lang::Zh, false, false) => format!("一切就绪：{serve}。"),
        (Lang::En, false, false) => format!("Ready: {serve}."),
    }
}

fn show(subject: &str, finding: &Finding) {
    let gap = " ".repeat(SUBJECT_WIDTH.saturating_sub(subject.width()));
    let (mark, what, todo) = match finding {
        Good(what) => ("✓", what, None),
        Warn(what, todo) => ("!", what, Some(todo)),
        Bad(what, todo) => ("✗", what, Some(todo)),
    };
    println!("{mark} {subject}{gap} {what}");
    if let Some(todo) = todo {
        println!("  {:SUBJECT_WIDTH$} → {todo}", "");
    }
}

fn look(lang: Lang, config: &Config, data: &Path, running: bool) -> Result<Vec<(&'static str, Finding)>> {
    let mut findings = vec![(lang.pick("服务器", "server"), server(lang, running, data))];
    if !running {
        for (listener, address) in wanted(config, &config.roles()?) {
            findings.push((name_of(lang, listener), port(lang, address)));
        }
    }
    let place = nearest(data);
    findings.push((lang.pick("数据目录", "data folder"), folder(lang, data, &place)));
    findings.push((lang.pick("磁盘空间", "disk space"), space(lang, &place)));
    findings.push((lang.pick("磁盘速度", "disk speed"), fsync(lang, &place)));
    findings.push((lang.pick("打开文件数", "open files"), open_files(lang)));
    findings.push((lang.pick("时钟", "clock"), clock(lang)));
    findings.push(("tls", tls(lang, config)));
    findings.extend(engines(lang, config)?);
    findings.push((lang.pick("邮件", "mail"), runtime()?.block_on(mail(lang, config))));
    Ok(findings)
}

fn server(lang: Lang, running: bool, data: &Path) -> Finding {
    let data = data.display();
    Good(match (lang, running) {
        (Lang::Zh, true) => format!("正在 {data} 上运行；端口是它自己的"),
        (Lang::En, true) => format!("runs on {data}; ports are its own"),
        (_, false) => lang.pick("没有运行", "does not run").into(),
    })
}

/// As a report calls it.
fn name_of(lang: Lang, listener: Listener) -> &'static str {
    match listener {
        Listener::Public => lang.pick("公共端口", "public port"),
        Listener::Tcp => lang.pick("TCP 端口", "tcp port"),
        Listener::Push => lang.pick("推送端口", "push port"),
        Listener::Admin => lang.pick("管理端口", "admin port"),
        Listener::CometRpc => "comet rpc port",
        Listener::LogicRpc => "logic rpc port",
        other => other.setting(),
    }
}

fn port(lang: Lang, address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Good(format!("{address} {}", lang.pick("空闲", "is free"))),
        Err(error) => {
            let todo = lang.pick("停掉占用它的程序，或在 [listen] 里换一个", "stop what holds it, or choose another in [listen]");
            Bad(format!("{address}: {error}"), todo)
        }
    }
}

/// What is there of the path to the data folder.
fn nearest(data: &Path) -> PathBuf {
    let absolute = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    absolute.ancestors().find(|place| place.exists()).map_or_else(|| PathBuf::from("/"), Path::to_owned)
}

fn folder(lang: Lang, data: &Path, place: &Path) -> Finding {
    let good = if data.exists() {
        lang.pick("可写", "can be written")
    } else {
        lang.pick("首次启动时创建", "is made at the first start")
    };
    match is_writable(place) {
        Ok(()) => Good(format!("{} {good}", data.display())),
        Err(error) => {
            let todo = lang.pick("把目录交给此用户，或用 --data 指定别的", "give this user the folder, or name another with --data");
            Bad(format!("{}: {error:#}", place.display()), todo)
        }
    }
}

fn is_writable(folder: &Path) -> Result<()> {
    ensure!(folder.is_dir(), "is not a folder");
    Ok(rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
}

fn space(lang: Lang, place: &Path) -> Finding {
    match rustix::fs::statvfs(place) {
        Err(error) => Warn(format!("{}: {error}", lang.pick("未知", "unknown")), lang.pick("用 `df -h` 查看", "look with `df -h`")),
        Ok(stat) => {
            let free = stat.f_bavail * stat.f_frsize;
            let gib = free as f64 / (1u64 << 30) as f64;
            let text = format!("{gib:.1} GiB {}", lang.pick("可用", "free"));
            let todo = lang.pick("至少腾出 1 GiB：磁盘满了，任何消息都发不出", "free at least 1 GiB: a full disk refuses every message");
            if free < DISK_FREE_MIN { Warn(text, todo) } else { Good(text) }
        }
    }
}

/// An ack waits for one fsync: its speed is the floor of every message's latency.
fn fsync(lang: Lang, place: &Path) -> Finding {
    let measured = match unnamed(place) {
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
            return Good(lang.pick("未测：此文件系统没有无名文件", "not measured: this file system has no files without a name").into());
        }
        opened => opened.context("make a file").and_then(sync_time),
    };
    let each = |each: Duration| format!("{each:.1?} {}", lang.pick("一次同步", "a sync"));
    match measured {
        Err(error) => Bad(format!("{error:#}"), lang.pick("磁盘必须能同步", "the disk must be able to sync")),
        Ok(slow) if slow > FSYNC_SLOW => {
            let todo = lang.pick(
                "每条回执都要等这么久；写缓存有掉电保护的磁盘更快",
                "every ack waits that long; a disk with a protected write cache is faster",
            );
            Warn(each(slow), todo)
        }
        Ok(quick) => Good(each(quick)),
    }
}

fn sync_time(mut file: std::fs::File) -> Result<Duration> {
    const ROUNDS: u32 = 16;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        file.write_all(&[0; 4096]).and_then(|()| file.sync_data()).context("write and sync")?;
    }
    Ok(start.elapsed() / ROUNDS)
}

/// The folder does not show it, and nothing is left of it.
fn unnamed(folder: &Path) -> Result<std::fs::File, Errno> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR).map(Into::into)
}

fn open_files(lang: Lang) -> Finding {
    let limits = OpenFiles::now();
    let text = format!("{} {limits}", lang.pick("最多", "at most"));
    let todo = lang.pick("每个连接占一个：启动前执行 `ulimit -n 1048576`", "each connection is one: `ulimit -n 1048576` before the start");
    if limits.is_plenty() { Good(text) } else { Warn(text, todo) }
}

fn clock(lang: Lang) -> Finding {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match now < CLOCK_MIN {
        true => Bad(lang.pick("慢了好几年", "is years behind").into(), lang.pick("校准它，最好用 NTP", "set it, best by NTP")),
        false => Good(lang.pick("可信", "plausible").into()),
    }
}

fn tls(lang: Lang, config: &Config) -> Finding {
    match config.tls.acceptor() {
        Err(error) => Bad(format!("{error:#}"), lang.pick("改正 [tls] 里的文件", "mend the files named in [tls]")),
        Ok(Some(_)) => Good(lang.pick("证书与私钥相符", "certificate and key fit").into()),
        Ok(None) if config.is_public() => Warn(
            lang.pick("未启用，但公共端口可从外部访问", "off, but the public listener is reachable from outside").into(),
            lang.pick(
                "设置 [tls] certificate 与 private_key，或在前面放 TLS 代理",
                "set [tls] certificate and private_key, or put a TLS proxy before it",
            ),
        ),
        Ok(None) => Good(lang.pick("未启用；只监听本机", "off; listeners are on loopback").into()),
    }
}

/// Those that are configured.
fn engines(lang: Lang, config: &Config) -> Result<Vec<(&'static str, Finding)>> {
    let mut findings = Vec::new();
    let answers = lang.pick("有应答", "answers");
    if config.storage.is_on_mysql() {
        findings.extend(databases(lang, &config.storage));
    }
    let mut look = |name, reached: Result<()>, todo| {
        findings.push((name, reached.map_or_else(|error| Bad(format!("{error:#}"), todo), |()| Good(answers.into()))));
    };
    if config.redis.is_on() {
        let todo = lang.pick(
            "启动 Redis，或改正 redis.urls；只有一个进程时不需要 [redis]",
            "start Redis, or mend redis.urls; without [redis] one process alone needs none",
        );
        look("redis", runtime()?.block_on(reach::redis(&config.redis)), todo);
    }
    if config.kafka.is_on() {
        let todo = lang.pick(
            "启动 Kafka，或改正 kafka.brokers 及其公布的地址；没有 [kafka] 就不需要它",
            "start Kafka, or mend kafka.brokers and what they advertise; without [kafka] none is needed",
        );
        look("kafka", runtime()?.block_on(reach::kafka(&config.kafka)), todo);
    }
    Ok(findings)
}

/// A start goes on without the replica, but not with one that is named wrong.
fn databases(lang: Lang, config: &skein_storage::Config) -> Vec<(&'static str, Finding)> {
    let [primary, replica] = reach::databases(config);
    let good = || Good(lang.pick("可以登录", "lets the store in").into());
    let mut findings = vec![("mysql", primary.map_or_else(|error| Bad(error.to_string(), mend_database(lang, &error)), |()| good()))];
    if !config.mysql.replica_url.is_empty() {
        let found = match replica {
            Ok(()) => good(),
            Err(error @ OpenError::Url(_)) => Bad(error.to_string(), mend_database(lang, &error)),
            Err(error) => {
                Warn(error.to_string(), lang.pick("在它可用之前，读取都由主库承担", "until it is there, the primary serves all reads"))
            }
        };
        findings.push((lang.pick("mysql 副本", "mysql replica"), found));
    }
    findings
}

fn mend_database(lang: Lang, error: &OpenError) -> &'static str {
    match error {
        OpenError::Unreachable { .. } => lang.pick("启动数据库，或改正这一项设置", "start the database, or mend the setting"),
        OpenError::Url(_) => lang.pick("改正这一项设置", "mend the setting"),
        OpenError::Refused { .. } => {
            lang.pick("改正用户、密码或库名，或在服务器上创建它们", "mend user, password or database, or create them on the server")
        }
        OpenError::UnsafeDurability(_) => lang.pick("在数据库服务器上把它们设为 1", "set them to 1 on the database server"),
        OpenError::Newer { .. } | OpenError::NotBuilt => lang.pick("换用合适的 skein 程序", "run a build of skein that can"),
        _ => lang.pick("查看数据库服务器的日志", "look at the database server's log"),
    }
}

async fn mail(lang: Lang, config: &Config) -> Finding {
    match crate::mail::probe(&config.mail).await {
        Ok(true) => Good(lang.pick("SMTP 服务器有应答", "SMTP server answers").into()),
        Ok(false) if config.is_public() => Bad(
            lang.pick("没有配置 SMTP", "SMTP is not configured").into(),
            lang.pick("设置 [mail]：否则在公开地址上没有人能注册", "set [mail]: without it nobody can register on a public address"),
        ),
        Ok(false) => Good(lang.pick("开发邮箱，在 /dev/mailbox", "development mailbox at /dev/mailbox").into()),
        Err(error) => Bad(
            error.message.into_owned(),
            lang.pick("检查 [mail] 的 host、port、tls、username 与 password", "check [mail] host, port, tls, username and password"),
        ),
    }
}
