//! `skein demo`: somebody to talk to, at once.

use super::{DataArgs, runtime};
use crate::admin::{Verb, client};
use crate::terminal::lang::Lang;
use anyhow::{Context, Result};
use serde_json::Value;
use std::process::ExitCode;
use unicode_width::UnicodeWidthStr;

const NAME_WIDTH: usize = 6;

pub fn run(args: DataArgs) -> Result<ExitCode> {
    let answer = runtime()?.block_on(client::ask(&args.data, &Verb::Demo))?;
    let accounts = answer["accounts"].as_array().context("read the answer")?;
    let lang = Lang::from_environment();
    let group = text(&answer["group"]);
    match lang {
        Lang::Zh => println!("两个账号已就绪：互为好友，同在群“{group}”里。\n"),
        Lang::En => println!("Two accounts are ready, friends of each other and members of the group \"{group}\".\n"),
    }
    let server = text(&answer["server"]);
    let program = crate::program::program();
    for account in accounts {
        let name = text(&account["nickname"]);
        let gap = " ".repeat(NAME_WIDTH.saturating_sub(name.width()));
        println!("  {name}{gap} {}  {} {}", text(&account["email"]), lang.pick("密码", "password"), text(&account["password"]));
    }
    println!("\n{}\n", lang.pick("打开两个终端，开始聊天：", "Open two terminals and chat:"));
    for account in accounts {
        println!("  SKEIN_PASSWORD={} {program} chat --server {server} --email {}", text(&account["password"]), text(&account["email"]));
    }
    match lang {
        Lang::Zh => println!("\n同样的账号也可以在浏览器里登录：{server}/"),
        Lang::En => println!("\nThe same accounts log in in the browser, too: {server}/"),
    }
    match lang {
        Lang::Zh => println!("其他人用 `{program} chat --server {server}` 和邮箱即可加入。"),
        Lang::En => println!("Anyone else joins with `{program} chat --server {server}` and an e-mail address."),
    }
    Ok(ExitCode::SUCCESS)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
