//! Asks the running server, for whoever typed a command.

use super::{Answer, DEADLINE, LINE_BYTES_MAX, Verb};
use crate::folder::{ADMIN_SOCKET, is_in_use};
use crate::program::program;
use crate::terminal::lang::Lang;
use anyhow::{Context, Result, bail};
use skein_domain::Code;
use std::path::Path;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

pub async fn ask(data: &Path, verb: &Verb) -> Result<serde_json::Value> {
    let lang = Lang::from_environment();
    tokio::time::timeout(DEADLINE, exchange(lang, data, verb)).await.context(lang.pick("服务器没有应答", "the server does not answer"))?
}

async fn exchange(lang: Lang, data: &Path, verb: &Verb) -> Result<serde_json::Value> {
    let path = data.join(ADMIN_SOCKET);
    let stream = UnixStream::connect(&path).await.with_context(|| no_server(lang, data, is_in_use(data)))?;
    let (read, mut write) = stream.into_split();
    let mut line = serde_json::to_vec(verb).context("write the request")?;
    line.push(b'\n');
    write.write_all(&line).await.context("send the request")?;
    let mut answer = String::new();
    BufReader::new(read.take(LINE_BYTES_MAX)).read_line(&mut answer).await.context("read the answer")?;
    match serde_json::from_str(&answer).context("read the answer")? {
        Answer::Ok(value) => Ok(value),
        Answer::Failed { code, message } => bail!("{}", refusal(lang, &code, &message)),
    }
}

fn no_server(lang: Lang, data: &Path, is_in_use: bool) -> String {
    let (data, program) = (data.display(), program());
    match lang {
        Lang::Zh if is_in_use => format!("{data} 上的服务器没有 logic 角色，或者还没启动好：请用 --data 指定 logic 节点的数据目录"),
        Lang::En if is_in_use => {
            format!("the server on {data} has no role logic, or has not started yet: name the data folder of the logic node with --data")
        }
        Lang::Zh => format!("{data} 上没有服务器在运行（用 `{program} serve --data {data}` 启动）"),
        Lang::En => format!("no server runs on {data} (start it with `{program} serve --data {data}`)"),
    }
}

/// The details are in the server's words.
fn refusal(lang: Lang, code: &str, message: &str) -> String {
    let said = match (lang, Code::parse(code)) {
        (Lang::En, _) => return format!("{message} ({code})"),
        (Lang::Zh, Code::NotFound) => "没有找到",
        (Lang::Zh, Code::BadRequest | Code::TooLarge | Code::BadBody) => "参数不对",
        (Lang::Zh, Code::Unsupported) => "这台服务器做不到",
        (Lang::Zh, Code::Unavailable | Code::Timeout | Code::Busy) => "服务器或它所用的引擎暂时没有应答，请稍后再试",
        (Lang::Zh, Code::StorageFull) => "磁盘已满",
        (Lang::Zh, Code::RetrySameKey) => "结果未知，请再试一次",
        (Lang::Zh, _) => "没有做成",
    };
    format!("{said}：{message}（{code}）")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_in_the_language_that_is_asked_for() {
        assert_eq!(refusal(Lang::En, "not_found", "no user x"), "no user x (not_found)");
        assert_eq!(refusal(Lang::Zh, "not_found", "no user x"), "没有找到：no user x（not_found）");
        assert!(no_server(Lang::Zh, Path::new("there"), false).starts_with("there 上没有服务器"));
    }

    #[test]
    fn a_node_without_logic_is_not_told_to_be_started() {
        let said = [Lang::En, Lang::Zh].map(|lang| no_server(lang, Path::new("there"), true));
        assert!(said.iter().all(|text| text.contains("logic") && !text.contains("serve ")), "{said:?}");
    }
}
