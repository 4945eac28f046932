//! MariaDB from Debian's packages: a primary as production should have it, and a replica that follows it.
//!
//! The primary writes its binary log and waits for the disk at each commit. The replica does not: it only has to follow
//! quickly, and is a server that the product must refuse to write to. The user `skein` may do everything, so that tests make databases of their own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::process::{self, Environment, INSTALLING, Instance, Lock};
use super::{Service, folder, instance_folder};
use crate::command::{must_succeed, output_of, succeeds};
use crate::machine;

pub const FIRST_PORT: u16 = 23_306;
const PATIENCE: Duration = Duration::from_secs(60);
pub const DURABLE: &[&str] = &[
    "--innodb-flush-log-at-trx-commit=1",
    "--sync-binlog=1",
    "--log-bin=binlog",
    "--binlog-format=ROW",
    "--binlog-row-image=minimal",
    "--expire-logs-days=1",
];
/// Of all the databases tests make, it follows those that are named so; else it would be minutes behind.
const FOLLOWING: &[&str] = &["--innodb-flush-log-at-trx-commit=2", "--read-only=1", "--replicate-wild-do-table=skein\\_replicated%.%"];
const FIRST_STATEMENTS: &str = "init.sql";
const SAID: &str = "read what MariaDB says above";
pub const USER: &str = "skein";
pub const PASSWORD: &str = "skein-tests-only";

pub fn url(port: u16) -> String {
    format!("mysql://{USER}:{PASSWORD}@127.0.0.1:{port}/")
}

pub fn start_primary() -> Result<Instance> {
    start(Service::Mariadb, 1, "")
}

pub fn start_replica(primary_port: u16) -> Result<Instance> {
    let follow = format!(
        "CHANGE MASTER TO master_host='127.0.0.1', master_port={primary_port}, master_user='{USER}', \
         master_password='{PASSWORD}', master_use_gtid=slave_pos, master_connect_retry=1;\nSTART SLAVE;\n"
    );
    start(Service::MariadbReplica, 2, &follow)
}

/// Makes an empty database on the primary, which is started if it does not run; answers its URL.
pub fn make_database(name: &str) -> Result<String> {
    super::require(Service::Mariadb)?;
    make_database_at(shared_port()?, name)
}

pub fn make_database_at(port: u16, name: &str) -> Result<String> {
    statement(port, &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"))?;
    Ok(format!("{}{name}", url(port)))
}

pub fn drop_database(name: &str) -> Result<()> {
    statement(shared_port()?, &format!("DROP DATABASE IF EXISTS {name}"))
}

fn shared_port() -> Result<u16> {
    Ok(super::find_one(Service::Mariadb).context("MariaDB does not run")?.port)
}

fn statement(port: u16, sql: &str) -> Result<()> {
    must_succeed(client(port).arg(format!("--user={USER}")).arg(format!("--password={PASSWORD}")).args(["--execute", sql]), SAID)
}

/// Closes all connections of our user, by another one.
pub fn hang_up(port: u16) -> Result<()> {
    must_succeed(client(port).arg("--user=root").arg(format!("--execute=KILL HARD CONNECTION USER {USER}")), SAID)
}

fn client(port: u16) -> Command {
    let mut client = Command::new("mariadb");
    client.args(["--no-defaults", "--host=127.0.0.1", "--protocol=tcp"]).arg(format!("--port={port}"));
    client
}

fn start(service: Service, server_id: u8, follow: &str) -> Result<Instance> {
    let folder = instance_folder(service, 1);
    prepare(&folder, follow)?;
    run(service, server_id, folder, process::free_ports(FIRST_PORT, 1)?[0], &Environment::new(), &[])
}

/// The data folder of a server one test has for itself.
pub fn prepare_own(folder: &Path) -> Result<()> {
    prepare(folder, "")
}

pub fn run_own(folder: &Path, port: u16, environment: &Environment, arguments: &[&str]) -> Result<Instance> {
    run(Service::Mariadb, 1, folder.to_owned(), port, environment, arguments)
}

fn prepare(folder: &Path, follow: &str) -> Result<()> {
    require_packages()?;
    let data = folder.join("data");
    if !data.join("mysql").exists() {
        install(folder, &data)?;
    }
    std::fs::write(folder.join(FIRST_STATEMENTS), init_statements(follow)).context("write MariaDB's first statements")
}

fn run(service: Service, server_id: u8, folder: PathBuf, port: u16, environment: &Environment, arguments: &[&str]) -> Result<Instance> {
    let (data, init, temporary) = (folder.join("data"), folder.join(FIRST_STATEMENTS), folder.join("tmp"));
    std::fs::create_dir_all(&temporary).with_context(|| format!("make {}", temporary.display()))?;
    let mut command = Command::new(program("mariadbd"));
    command.envs(environment.iter().cloned());
    command.arg("--no-defaults").arg(format!("--datadir={}", data.display())).arg(format!("--init-file={}", init.display()));
    // A server that starts removes all temporary tables it finds there, and others crash for want of theirs.
    command.arg(format!("--tmpdir={}", temporary.display()));
    command.arg(format!("--user={}", me()?)).arg(format!("--port={port}")).arg(format!("--server-id={server_id}"));
    // The socket lies in the data folder; named from there, because the whole path may be too long for one.
    command.args(["--bind-address=127.0.0.1", "--socket=mariadbd.sock", "--pid-file=mariadbd.pid", "--skip-name-resolve"]);
    command.args(["--max-connections=500", "--innodb-buffer-pool-size=256M", "--innodb-log-file-size=128M", "--performance-schema=OFF"]);
    command.args(if service == Service::Mariadb { DURABLE } else { FOLLOWING }).args(arguments);
    process::start(service, 1, port, folder, &mut command, PATIENCE)
}

/// Not in the binary log, so that a replica keeps its own.
fn init_statements(follow: &str) -> String {
    let mut statements = "SET sql_log_bin=0;\n".to_owned();
    for host in ["127.0.0.1", "localhost"] {
        statements += &format!("CREATE USER IF NOT EXISTS '{USER}'@'{host}' IDENTIFIED BY '{PASSWORD}';\n");
        statements += &format!("GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'{host}' WITH GRANT OPTION;\n");
    }
    statements + follow
}

fn install(folder: &Path, data: &Path) -> Result<()> {
    // What a start that was broken off has left.
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let mut install = Command::new("mariadb-install-db");
    install.arg("--no-defaults").arg(format!("--datadir={}", data.display())).arg(format!("--user={}", me()?));
    install.args(["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]);
    // As for the server: those that are installed at the same moment would remove each other's temporary tables.
    install.env("TMPDIR", folder);
    let output = std::fs::File::create(folder.join("install.log")).context("open MariaDB's installation log")?;
    install.stdout(output);
    must_succeed(&mut install, "read install.log in its folder")
}

fn require_packages() -> Result<()> {
    if succeeds(Command::new(program("mariadbd")).arg("--version")) && ["mariadb-install-db", "mariadb"].into_iter().all(machine::is_there)
    {
        return Ok(());
    }
    let _lock = Lock::named(&folder(), INSTALLING)?;
    machine::install_without_starting("MariaDB is missing (tests run against it)", &["mariadb-server"])
}

/// Servers lie in `sbin`, which users have not always in their path.
pub(super) fn program(name: &str) -> PathBuf {
    let in_sbin = Path::new("/usr/sbin").join(name);
    if in_sbin.exists() { in_sbin } else { name.into() }
}

fn me() -> Result<String> {
    output_of(Command::new("id").arg("-un"))
}
