//! The terminal client: `skein chat` for people, `skein send` and `skein tail` for scripts, all on the SDK.
//!
//! [`app`] with its keys and commands is pure state, [`view`] draws it, [`chat`] drives both from the SDK's events and
//! the terminal; [`account`] logs in for all three.
//!
//! **Invariant:** what others wrote passes [`cells::harmless`] before it reaches a terminal.

pub mod account;
mod act;
pub mod app;
pub mod cells;
pub mod chat;
pub mod command;
mod compose;
pub mod input;
pub mod intent;
mod keys;
pub mod lang;
mod perform;
pub mod screen;
mod script;
pub mod time;
pub mod view;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use lang::Lang;

/// Who one is, and where.
#[derive(Args, Clone)]
pub struct AccountArgs {
    /// Address of a server; more than one are tried in turn.
    #[arg(long, env = "SKEIN_SERVER", default_value = "http://127.0.0.1:8080", value_delimiter = ',')]
    pub server: Vec<String>,
    /// Whom to log in as; the password comes from SKEIN_PASSWORD, or is asked for.
    #[arg(long, env = "SKEIN_EMAIL")]
    pub email: Option<String>,
    /// Where sessions and history are kept [default: `skein` in the user's data folder].
    #[arg(long, env = "SKEIN_STORE")]
    pub store: Option<PathBuf>,
    /// Language [default: as LANG says].
    #[arg(long, value_enum)]
    pub lang: Option<Lang>,
}

#[derive(Args, Clone)]
pub struct ChatArgs {
    #[command(flatten)]
    pub account: AccountArgs,
    /// Open an account first, with a code that is sent by e-mail.
    #[arg(long)]
    pub register: bool,
}

#[derive(Args, Clone)]
pub struct SendArgs {
    #[command(flatten)]
    pub account: AccountArgs,
    /// Uid or e-mail address of a friend, id of a conversation as `c7`, or title of a group or room.
    #[arg(long)]
    pub to: String,
    /// Give up when there is no ack by then, in seconds; the message stays in the outbox.
    #[arg(long, default_value_t = 30)]
    pub timeout: u64,
    /// The text; `-` reads it from standard input.
    pub text: String,
}

#[derive(Args, Clone)]
pub struct TailArgs {
    #[command(flatten)]
    pub account: AccountArgs,
    /// Only this conversation: its id, or title.
    #[arg(long)]
    pub conversation: Option<String>,
    /// One JSON object a line, texts as they came.
    #[arg(long)]
    pub json: bool,
}

impl AccountArgs {
    pub fn lang(&self) -> Lang {
        self.lang.unwrap_or_else(Lang::from_environment)
    }
}

pub fn chat(args: ChatArgs) -> Result<ExitCode> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        let (zh, en) =
            ("聊天需要终端；脚本请用 `skein send` 与 `skein tail`", "chat needs a terminal; scripts have `skein send` and `skein tail`");
        bail!("{}", args.account.lang().pick(zh, en));
    }
    runtime()?.block_on(chat::run(args))
}

pub fn send(args: SendArgs) -> Result<ExitCode> {
    runtime()?.block_on(script::send(args))
}

pub fn tail(args: TailArgs) -> Result<ExitCode> {
    runtime()?.block_on(script::tail(args))
}

/// One thread is plenty for one user.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")
}
