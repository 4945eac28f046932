//! Asks the running server.

use super::{Answer, DEADLINE, LINE_BYTES_MAX, Verb};
use crate::folder::ADMIN_SOCKET;
use crate::program::program;
use anyhow::{Context, Result, bail};
use std::path::Path;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

pub async fn ask(data: &Path, verb: &Verb) -> Result<serde_json::Value> {
    tokio::time::timeout(DEADLINE, exchange(data, verb)).await.context("the server does not answer")?
}

async fn exchange(data: &Path, verb: &Verb) -> Result<serde_json::Value> {
    let path = data.join(ADMIN_SOCKET);
    let stream = UnixStream::connect(&path)
        .await
        .with_context(|| format!("no server runs on {0} (start it with `{1} serve --data {0}`)", data.display(), program()))?;
    let (read, mut write) = stream.into_split();
    let mut line = serde_json::to_vec(verb).context("write the request")?;
    line.push(b'\n');
    write.write_all(&line).await.context("send the request")?;
    let mut answer = String::new();
    BufReader::new(read.take(LINE_BYTES_MAX)).read_line(&mut answer).await.context("read the answer")?;
    match serde_json::from_str(&answer).context("read the answer")? {
        Answer::Ok(value) => Ok(value),
        Answer::Failed { code, message } => bail!("{message} ({code})"),
    }
}
