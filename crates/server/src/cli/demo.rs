//! `skein demo`: somebody to talk to, at once.

use super::{DataArgs, runtime};
use crate::admin::{Verb, client};
use anyhow::{Context, Result};
use serde_json::Value;
use std::process::ExitCode;

pub fn run(args: DataArgs) -> Result<ExitCode> {
    let answer = runtime()?.block_on(client::ask(&args.data, &Verb::Demo))?;
    let accounts = answer["accounts"].as_array().context("read the answer")?;
    println!("Two accounts are ready, friends of each other and members of the group \"{}\".\n", text(&answer["group"]));
    let server = text(&answer["server"]);
    let program = crate::program::program();
    for account in accounts {
        println!("  {:<6} {}  password {}", text(&account["nickname"]), text(&account["email"]), text(&account["password"]));
    }
    println!("\nOpen two terminals and chat:\n");
    for account in accounts {
        println!("  SKEIN_PASSWORD={} {program} chat --server {server} --email {}", text(&account["password"]), text(&account["email"]));
    }
    println!("\nAnyone else joins with `{program} chat --server {server}` and an e-mail address.");
    Ok(ExitCode::SUCCESS)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
