//! A program to cut the power of: `files <folder> <step>…` does file operations one by one, `steps <folder>` those that come
//! as lines, `sqlite <db> <synchronous>`
//! commits rows until it is killed, `stream <file>` appends while it fsyncs. Each line on stdout is a promise or an
//! answer that a test holds it to.

use rusqlite::Connection;
use std::{
    collections::HashMap,
    env,
    error::Error,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::{fs::FileExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    thread::{self, JoinHandle},
};

/// A writer that nobody kills ends here, so that a test without its kill fails instead of hanging.
const ROWS_MAX: u64 = 2_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["files", folder, steps @ ..] => run_files(Path::new(folder), steps),
        ["steps", folder] => run_steps(Path::new(folder)),
        ["sqlite", database, synchronous] => run_sqlite(Path::new(database), synchronous),
        ["stream", file] => run_stream(Path::new(file)),
        _ => Err("usage: files <folder> <step>… | steps <folder> | sqlite <db> <synchronous> | stream <file>".into()),
    }
}

fn say(line: impl std::fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

// === files ===

fn run_files(folder: &Path, steps: &[&str]) -> Result<(), Box<dyn Error>> {
    let mut held = HashMap::new();
    for step in steps {
        answer(run_step(folder, step, &mut held))?;
    }
    say("ready")?;
    wait_for_kill()
}

fn run_steps(folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut held = HashMap::new();
    for step in io::stdin().lines() {
        answer(run_step(folder, &step?, &mut held))?;
    }
    Ok(())
}

fn answer(done: io::Result<()>) -> io::Result<()> {
    match done {
        Ok(()) => say("ok"),
        Err(error) => say(format_args!("error {}", error.raw_os_error().unwrap_or(0))),
    }
}

/// Standard input stays open and silent as long as the test lives.
fn wait_for_kill() -> Result<(), Box<dyn Error>> {
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn run_step(folder: &Path, step: &str, held: &mut HashMap<String, File>) -> io::Result<()> {
    let at = |name: &str| -> PathBuf { folder.join(name) };
    let writable = |name: &str| OpenOptions::new().create(true).truncate(false).write(true).open(at(name));
    let number = |text: &str| text.parse::<u64>().map_err(io::Error::other);
    match step.split(' ').collect::<Vec<_>>().as_slice() {
        ["write", name, offset, text] => writable(name)?.write_all_at(text.as_bytes(), number(offset)?),
        ["append", name, text] => OpenOptions::new().create(true).append(true).open(at(name))?.write_all(text.as_bytes()),
        ["replace", name, text] => fs::write(at(name), text),
        ["resize", name, size] => writable(name)?.set_len(number(size)?),
        ["copy", from, to] => fs::copy(at(from), at(to)).map(drop),
        ["sync", name] => OpenOptions::new().write(true).open(at(name))?.sync_all(),
        ["datasync", name] => OpenOptions::new().write(true).open(at(name))?.sync_data(),
        ["sync-folder", name] => File::open(at(name))?.sync_all(),
        ["rename", from, to] => fs::rename(at(from), at(to)),
        ["link", from, to] => fs::hard_link(at(from), at(to)),
        ["symlink", target, name] => std::os::unix::fs::symlink(target, at(name)),
        ["remove", name] => fs::remove_file(at(name)),
        ["folder", name] => fs::create_dir(at(name)),
        ["remove-folder", name] => fs::remove_dir(at(name)),
        ["remove-all", name] => fs::remove_dir_all(at(name)),
        ["hold", name] => writable(name).map(|file| drop(held.insert("held".into(), file))),
        ["put", offset, text] => held_file(held)?.write_all_at(text.as_bytes(), number(offset)?),
        ["put-sync"] => held_file(held)?.try_clone()?.sync_data(),
        ["during-sync-of", name, inner @ ..] => {
            let sync = begin_sync(at(name))?;
            run_step(folder, &inner.join(" "), held)?;
            sync.join().map_err(|_| io::Error::other("the sync panicked"))?
        }
        ["shell", words @ ..] => run_shell(folder, &words.join(" ")),
        _ => Err(io::Error::other(format!("unknown step {step}"))),
    }
}

fn held_file(held: &HashMap<String, File>) -> io::Result<&File> {
    held.get("held").ok_or_else(|| io::Error::other("nothing held"))
}

/// Returns when the sync has begun, which shows in its thread being asleep: the test has it delayed.
fn begin_sync(path: PathBuf) -> io::Result<JoinHandle<io::Result<()>>> {
    let file = File::open(path)?;
    let (tell, told) = mpsc::sync_channel(1);
    let sync = thread::spawn(move || {
        tell.send(fs::read_link("/proc/thread-self")?).map_err(io::Error::other)?;
        file.sync_all()
    });
    let state = Path::new("/proc").join(told.recv().map_err(io::Error::other)?).join("stat");
    while !fs::read_to_string(&state)?.contains(") S ") {
        thread::yield_now();
    }
    Ok(sync)
}

/// Setting the group makes the standard library fork instead of spawning.
fn run_shell(folder: &Path, line: &str) -> io::Result<()> {
    let gid = std::os::unix::fs::MetadataExt::gid(&fs::metadata(folder)?);
    let status = Command::new("sh").args(["-c", line]).current_dir(folder).gid(gid).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("the shell failed")) }
}

// === sqlite ===

/// One thread commits, a second one checkpoints all the time, so that fsyncs of log and database overlap.
fn run_sqlite(database: &Path, synchronous: &str) -> Result<(), Box<dyn Error>> {
    let mut connection = open_sqlite(database, "FULL")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS row (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
         CREATE TABLE IF NOT EXISTS total (rows INTEGER NOT NULL);
         INSERT INTO total SELECT 0 WHERE NOT EXISTS (SELECT * FROM total);",
    )?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    let checkpointer = open_sqlite(database, synchronous)?;
    thread::spawn(move || checkpoint_forever(&checkpointer));
    say("ready")?;
    for _ in 0..ROWS_MAX {
        let next: i64 = connection.query_row("SELECT coalesce(max(id), 0) + 1 FROM row", [], |row| row.get(0))?;
        say(format_args!("begin {next}"))?;
        let transaction = connection.transaction()?;
        transaction.execute("INSERT INTO row VALUES (?1, zeroblob(?2))", (next, next * 7919 % 9000))?;
        transaction.execute("UPDATE total SET rows = rows + 1", [])?;
        transaction.commit()?;
        say(format_args!("ack {next}"))?;
    }
    Ok(())
}

fn open_sqlite(database: &Path, synchronous: &str) -> rusqlite::Result<Connection> {
    let connection = Connection::open(database)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(connection)
}

fn checkpoint_forever(connection: &Connection) {
    for mode in ["PASSIVE", "TRUNCATE"].iter().cycle() {
        // Busy is fine: the writer goes first and the next turn comes at once.
        let _ = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
    }
}

// === stream ===

/// Eight-byte records are appended without pause by one thread while this one fsyncs and promises what it covered.
fn run_stream(path: &Path) -> Result<(), Box<dyn Error>> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let mut writer = file.try_clone()?;
    thread::spawn(move || {
        for number in 0u64.. {
            if writer.write_all(&number.to_le_bytes()).is_err() {
                break;
            }
        }
    });
    loop {
        let covered = file.metadata()?.len();
        file.sync_data()?;
        say(format_args!("ack {covered}"))?;
    }
}
