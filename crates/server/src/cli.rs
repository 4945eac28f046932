//! The command line: what `skein` can be asked for.

use crate::program::{program, quoted};
use crate::roles::Role;
use crate::terminal::lang::Lang;
use anyhow::{Context, Result};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod admin;
mod chinese;
mod demo;
mod docs;
mod doctor;
pub mod push;
mod serve;

const DATA_DEFAULT: &str = "data";
/// As in sysexits.h: configuration error, and software error.
const EXIT_CONFIG: u8 = 78;
const EXIT_FAILURE: u8 = 70;
/// What a shell reports of a program that SIGPIPE has ended.
const EXIT_BROKEN_PIPE: u8 = 141;

/// Chat and real-time push in one binary.
#[derive(Parser)]
#[command(name = "skein", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server: all roles in this process, or some.
    Serve(ServeArgs),
    /// Look at configuration, ports, clock, disk, limits and mail, and say what to do.
    Doctor(ServeArgs),
    /// Make two ready accounts and a group at the running server, and print how to join.
    Demo(DataArgs),
    /// Administer the running server over its data folder's socket.
    Admin(AdminArgs),
    /// Push messages to users, rooms or everyone, with an API key.
    Push(push::PushArgs),
    /// Chat in the terminal.
    Chat(crate::terminal::ChatArgs),
    /// Send one message, for scripts.
    Send(crate::terminal::SendArgs),
    /// Print messages as they come, for scripts.
    Tail(crate::terminal::TailArgs),
    /// Print generated documentation.
    #[command(hide = true)]
    Docs { page: docs::Page },
}

#[derive(Args, Clone)]
pub struct DataArgs {
    /// The data folder.
    #[arg(long, default_value = DATA_DEFAULT, env = "SKEIN_DATA")]
    pub data: PathBuf,
}

#[derive(Args, Clone)]
pub struct ServeArgs {
    #[command(flatten)]
    pub data: DataArgs,
    /// The configuration file; by default `skein.toml` in the data folder, if it is there.
    #[arg(long, env = "SKEIN_CONFIG")]
    pub config: Option<PathBuf>,
    /// Roles to run, separated by commas; by default all of them.
    #[arg(long, value_delimiter = ',')]
    pub role: Vec<Role>,
    /// Name of this node.
    #[arg(long)]
    pub node: Option<String>,
    /// Where public HTTP and WebSocket listen.
    #[arg(long)]
    pub public: Option<SocketAddr>,
    /// Where long connections over TCP listen.
    #[arg(long)]
    pub tcp: Option<SocketAddr>,
    /// Any other setting: `--set comet.heartbeat_timeout_ms=60000`.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

#[derive(Args)]
pub struct AdminArgs {
    #[command(flatten)]
    pub data: DataArgs,
    /// Print the answer as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub verb: crate::admin::Verb,
}

pub fn main() -> ExitCode {
    let command = parse().command;
    if !matches!(command, Command::Serve(_)) {
        end_when_nobody_reads();
    }
    let outcome = match command {
        Command::Serve(args) => serve::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Admin(args) => admin::run(args),
        Command::Push(args) => push::run(args),
        Command::Chat(args) => crate::terminal::chat(args),
        Command::Send(args) => crate::terminal::send(args),
        Command::Tail(args) => crate::terminal::tail(args),
        Command::Docs { page } => docs::print(page),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("skein: {}", format!("{error:#}").trim_end());
            ExitCode::from(if is_of_configuration(&error) { EXIT_CONFIG } else { EXIT_FAILURE })
        }
    }
}

/// Whether a setting has to change before the command can do anything.
fn is_of_configuration(error: &anyhow::Error) -> bool {
    let store = error.downcast_ref::<skein_storage::OpenError>();
    error.is::<BadConfiguration>() || store.is_some_and(|error| error.code() == "bad_config")
}

/// As other programs do in a pipe whose reader has had enough, such as `head`: `println!` would panic.
fn end_when_nobody_reads() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        if said.starts_with("failed printing to stdout") && said.contains("Broken pipe") {
            std::process::exit(EXIT_BROKEN_PIPE.into());
        }
        usual(panic);
    }));
}

fn parse() -> Cli {
    let matches = match Lang::from_environment() {
        Lang::Zh => chinese::told(Cli::command()).after_help(format!("第一步：`{0} serve`，然后在另一个终端 `{0} demo`。", program())),
        Lang::En => Cli::command().after_help(format!("First steps: `{0} serve`, then in another terminal `{0} demo`.", program())),
    }
    .get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// The command cannot even begin.
#[derive(Debug)]
struct BadConfiguration {
    chosen: String,
}

impl std::fmt::Display for BadConfiguration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the configuration is not usable (`{} doctor{}` looks at it)", program(), self.chosen)
    }
}

impl ServeArgs {
    /// The flags that name folder and file again, for a command that is to look at the same.
    pub fn chosen(&self) -> String {
        let data = (self.data.data != Path::new(DATA_DEFAULT)).then_some(("--data", &self.data.data));
        let config = self.config.as_ref().map(|config| ("--config", config));
        data.into_iter().chain(config).map(|(flag, path)| format!(" {flag} {}", quoted(&path.display().to_string()))).collect()
    }

    pub fn load(&self) -> Result<crate::config::Config> {
        self.read().with_context(|| BadConfiguration { chosen: self.chosen() })
    }

    /// Its error does not say who looks at it.
    fn read(&self) -> Result<crate::config::Config> {
        crate::config::Config::load(&self.data.data, self.config.as_deref(), std::env::vars(), &self.flags()?)
    }

    fn flags(&self) -> Result<Vec<(String, toml::Value)>> {
        let mut flags = Vec::new();
        let mut flag = |path: &str, value: toml::Value| flags.push((path.to_owned(), value));
        if !self.role.is_empty() {
            let roles = self.role.iter().map(toml::Value::try_from).collect::<Result<Vec<_>, _>>()?;
            flag("node.roles", roles.into());
        }
        if let Some(node) = &self.node {
            flag("node.name", node.as_str().into());
        }
        if let Some(public) = self.public {
            flag("listen.public", public.to_string().into());
        }
        if let Some(tcp) = self.tcp {
            flag("listen.tcp", tcp.to_string().into());
        }
        for setting in &self.set {
            let (path, value) = setting.split_once('=').with_context(|| format!("--set {setting}: SECTION.KEY=VALUE expected"))?;
            flag(path.trim(), crate::config::parse_value(value.trim()));
        }
        Ok(flags)
    }
}

/// A runtime with one worker a core, and a bounded pool for blocking work.
fn runtime() -> Result<tokio::runtime::Runtime> {
    const BLOCKING_THREADS_MAX: usize = 64;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_name("skein")
        .build()
        .context("start the runtime")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listeners::{Listener, wanted};
    use std::collections::BTreeMap;

    const GUIDE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operator-guide.md"));

    /// As a shell splits it.
    fn words(line: &str) -> Vec<String> {
        let quoted = |at: usize| at % 2 == 1;
        let parts = line.split('\'').enumerate();
        parts.flat_map(|(at, part)| if quoted(at) { vec![part] } else { part.split_whitespace().collect() }).map(str::to_owned).collect()
    }

    #[test]
    fn the_split_of_the_guide_can_be_pasted() {
        let (_, chapter) = GUIDE.split_once("## Split roles").expect("a chapter");
        let block = chapter.split("```").nth(1).and_then(|block| block.strip_prefix("sh\n")).expect("an example");
        let block = block.replace("\\\n", " ");
        let nodes: Vec<_> = block
            .lines()
            .map(|line| {
                let Command::Serve(args) = Cli::try_parse_from(words(line)).expect("a command line").command else { panic!("{line}") };
                let config = args.load().expect("a configuration");
                let listeners: BTreeMap<_, _> = wanted(&config, &config.roles().expect("roles")).into_iter().collect();
                (config, listeners)
            })
            .collect();
        let mut taken = BTreeMap::new();
        for (listener, address) in nodes.iter().flat_map(|(_, listeners)| listeners) {
            assert_eq!(taken.insert(address, listener.setting()), None, "{address} is also {}", listener.setting());
        }
        let [(hub, of_hub), (comet, of_comet)] = &nodes[..] else { panic!("two nodes: {block}") };
        assert_eq!(comet.peers.logic, format!("http://{}", of_hub[&Listener::LogicRpc]));
        assert_eq!(hub.peers.comets[0].node, comet.node.name);
        assert_eq!(hub.peers.comets[0].address, format!("http://{}", of_comet[&Listener::CometRpc]));
    }
}
