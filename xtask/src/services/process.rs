//! One engine's process: started so that it outlives us, found again by its note, asked whether it answers, stopped.
//!
//! **Invariant:** a process is noted as soon as it is started, so that one whose start was broken off is found and stopped.
//! **Invariant:** a process is signalled only while its command line still names our folder, so a reused process id is
//! never hit.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Service;
use crate::command::{must_succeed, output_of, succeeds};

const STOP_PATIENCE: Duration = Duration::from_secs(30);
const ASK_PATIENCE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Who holds it may be fetching packages.
const LOCK_PATIENCE_SECONDS: &str = "900";

/// The lock of those who install packages: one's rule that nothing is started must not end in the middle of another's.
pub const INSTALLING: &str = "install.lock";

/// Variables a process is started with.
pub type Environment = Vec<(&'static str, OsString)>;

/// A process that was started and, as far as its note tells, runs.
#[derive(Debug, Clone)]
pub struct Instance {
    pub service: Service,
    /// From 1; only Kafka and the Redis Cluster have more than one.
    pub number: u8,
    pub port: u16,
    pub pid: u32,
    pub folder: PathBuf,
}

impl Instance {
    /// The instance whose note lies in `folder`, if its process is alive.
    pub fn find(service: Service, number: u8, folder: PathBuf) -> Result<Option<Self>> {
        let Ok(note) = std::fs::read_to_string(folder.join("instance")) else { return Ok(None) };
        let mut numbers = note.split_whitespace();
        let (Some(pid), Some(port)) = (numbers.next(), numbers.next()) else { bail!("{} does not read: {note:?}", folder.display()) };
        let instance = Self { service, number, pid: pid.parse()?, port: port.parse()?, folder };
        Ok(instance.is_alive().then_some(instance))
    }

    fn note(&self) -> Result<()> {
        let unfinished = self.folder.join("instance.new");
        std::fs::write(&unfinished, format!("{} {}\n", self.pid, self.port)).context("note the instance")?;
        std::fs::rename(&unfinished, self.folder.join("instance")).context("note the instance")
    }

    pub fn label(&self) -> String {
        format!("{} {}", self.service.name(), self.number)
    }

    fn is_alive(&self) -> bool {
        let line = output_of(Command::new("ps").args(["-ww", "-o", "stat=,args=", "-p"]).arg(self.pid.to_string()));
        line.is_ok_and(|line| !line.starts_with('Z') && line.contains(&*self.folder.to_string_lossy()))
    }

    /// Whether the engine itself, not only its port, answers.
    pub fn answers(&self) -> bool {
        let is_right = |reply: &[u8]| match self.service {
            // It speaks first: length, sequence number 0, protocol version 10.
            Service::Mariadb | Service::MariadbReplica => reply.get(3..5) == Some(&[0, 10]),
            Service::Redis | Service::RedisCluster => reply.starts_with(b"+PONG"),
            // The reply repeats the correlation number.
            Service::Kafka => reply.get(4..8) == Some(&[0, 0, 0, 7]),
        };
        let question: &[u8] = match self.service {
            Service::Mariadb | Service::MariadbReplica => b"",
            Service::Redis | Service::RedisCluster => b"PING\r\n",
            // ApiVersions, version 0, correlation 7, no client id.
            Service::Kafka => &[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff],
        };
        ask(self.port, question, is_right).unwrap_or(false)
    }

    /// To a process that has not ended; whoever started it may.
    pub fn signal(&self, signal: &str) -> Result<()> {
        must_succeed(Command::new("kill").arg(signal).arg(self.pid.to_string()), "the engine has ended by itself; read its log")
    }

    /// SIGTERM, and SIGKILL for one that does not listen to it.
    pub fn stop(&self) -> Result<()> {
        for (signal, patience) in [("-TERM", STOP_PATIENCE), ("-KILL", STOP_PATIENCE)] {
            if !self.is_alive() {
                break;
            }
            // It may have ended since.
            succeeds(Command::new("kill").arg(signal).arg(self.pid.to_string()));
            let deadline = Instant::now() + patience;
            while self.is_alive() && Instant::now() < deadline {
                look_later();
            }
        }
        ensure!(!self.is_alive(), "{} (process {}) does not end", self.label(), self.pid);
        Ok(())
    }
}

/// Whether what comes back, as far as it has come, is right.
fn ask(port: u16, question: &[u8], is_right: impl Fn(&[u8]) -> bool) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), ASK_PATIENCE)?;
    stream.set_read_timeout(Some(ASK_PATIENCE))?;
    stream.write_all(question)?;
    let mut reply = [0; 64];
    let mut length = 0;
    while length < reply.len() && !is_right(&reply[..length]) {
        match stream.read(&mut reply[length..])? {
            0 => return Ok(false),
            more => length += more,
        }
    }
    Ok(is_right(&reply[..length]))
}

/// Starts `command` as `instance`'s process and returns when it answers. Its output goes to `log` in its folder.
///
/// The command line must name the folder: by it the process is recognised later.
pub fn start(service: Service, number: u8, port: u16, folder: PathBuf, command: &mut Command, patience: Duration) -> Result<Instance> {
    let log = folder.join("log");
    let output = File::options().create(true).append(true).open(&log).with_context(|| format!("open {}", log.display()))?;
    let errors = output.try_clone().context("share the log")?;
    // A process group of its own: Ctrl-C at our terminal is not meant for it.
    command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
    let mut child = command.spawn().with_context(|| format!("start {}", crate::command::shown(command)))?;
    let instance = Instance { service, number, port, pid: child.id(), folder };
    let answered = instance.note().and_then(|()| await_answer(&instance, &mut child, patience));
    answered.with_context(|| {
        let _ = child.kill().and_then(|()| child.wait());
        format!("{} did not come up; the end of {}:\n{}", instance.label(), log.display(), last_lines(&log))
    })?;
    Ok(instance)
}

fn await_answer(instance: &Instance, child: &mut Child, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    while !instance.answers() {
        if let Some(status) = child.try_wait().context("look at the process")? {
            bail!("it ended: {status}");
        }
        ensure!(Instant::now() < deadline, "it does not answer after {patience:?}");
        look_later();
    }
    Ok(())
}

/// Processes that are not our children, and ports, cannot be waited for otherwise.
#[expect(clippy::disallowed_methods, reason = "no runtime here, and nothing that would wake us; every caller has a deadline")]
pub fn look_later() {
    std::thread::sleep(LOOK_EVERY);
}

fn last_lines(log: &Path) -> String {
    const LINES: usize = 30;
    let text = std::fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// `count` ports nobody listens on, from `first` on: below the range systems hand out by themselves, so that none is
/// taken between now and the start.
pub fn free_ports(first: u16, count: usize) -> Result<Vec<u16>> {
    let free = (first..first + 500).filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    let ports: Vec<u16> = free.take(count).collect();
    ensure!(ports.len() == count, "no {count} free ports from {first} on");
    Ok(ports)
}

/// Keeps other `up` and `down` out, in whatever process. Ends with its holder, also with one that is killed.
pub struct Lock {
    holder: Child,
}

impl Lock {
    pub fn take(folder: &Path) -> Result<Self> {
        Self::named(folder, "lock")
    }

    /// For what else only one does at a time.
    pub fn named(folder: &Path, name: &str) -> Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let mut command = Command::new("flock");
        command.args(["--wait", LOCK_PATIENCE_SECONDS]).arg(folder.join(name)).args(["sh", "-c", "echo locked; exec cat"]);
        // `cat` ends when our end of the pipe does, however that comes about.
        let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("start flock (package util-linux)")?;
        let mut locked = [0; 6];
        let output = holder.stdout.as_mut().context("read from flock")?;
        output.read_exact(&mut locked).context("somebody else has been bringing services up or down for too long")?;
        Ok(Self { holder })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// Kills what is noted in some folders when its value ends or we do, be it by SIGKILL: the system then closes the pipe
/// that is read. Taken before anything starts there, so that no moment is without it.
pub struct Leash {
    watcher: Child,
}

impl Leash {
    pub fn on(folders: &[PathBuf]) -> Result<Self> {
        const WATCH: &str = "read -r never; for folder; do read -r pid port < \"$folder/instance\" && kill -KILL \"$pid\"; done";
        for folder in folders {
            // Of a process before ours, whose number may be somebody else's by now.
            let _ = std::fs::remove_file(folder.join("instance"));
        }
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "sh"]).args(folders);
        // In a group of its own: Ctrl-C is to end us, not the watcher before us.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        Ok(Self { watcher: command.spawn().context("start sh")? })
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        let _ = self.watcher.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers nobody, and its command line names the folder.
    fn silent(folder: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60; : \"$0\""]).arg(folder);
        command
    }

    #[test]
    fn a_process_is_found_by_its_note_before_it_answers() {
        let folder = std::env::temp_dir().join(format!("skein-noted-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let port = free_ports(19_000, 1).unwrap()[0];
        let starting = std::thread::spawn({
            let folder = folder.clone();
            move || start(Service::Redis, 1, port, folder.clone(), &mut silent(&folder), Duration::from_secs(30))
        });
        let deadline = Instant::now() + Duration::from_secs(20);
        let found = loop {
            if let Some(found) = Instance::find(Service::Redis, 1, folder.clone()).unwrap() {
                break found;
            }
            assert!(Instant::now() < deadline && !starting.is_finished(), "it is not noted while it starts");
            look_later();
        };
        found.stop().unwrap();
        let error = starting.join().unwrap().expect_err("it never answered");
        assert!(format!("{error:#}").contains("it ended"), "{error:#}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
