//! A live room full of guests, and a tool that pushes into it: goim's frames over TCP, goim's call over HTTP.
//!
//! Every message carries its number and the moment it was asked for, so each receiver judges by itself: the next number is
//! right, a smaller one came twice or late, a larger one means that some are missing.
//!
//! Bounds: receivers log in [`AT_ONCE`] at a time; one that hears nothing for [`PATIENCE`] has lost the rest.

use anyhow::{Context, Result, ensure};
use bytes::{Buf, BytesMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const AT_ONCE: usize = 64;
const PATIENCE: Duration = Duration::from_secs(20);
const HEADER: usize = 16;
const OPERATION: i32 = 1000;
const AUTH: i32 = 7;
const AUTH_REPLY: i32 = 8;

#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub receivers: usize,
    pub per_second: u32,
    pub messages: u32,
}

/// What the crowd heard.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    pub pushed: u64,
    /// Messages times receivers.
    pub heard: u64,
    pub lost: u64,
    /// Heard again, or after a later one.
    pub doubled_or_late: u64,
    /// For each message, until the last receiver had it.
    pub last_receiver: Vec<Duration>,
    /// Until the call of a message was answered.
    pub answered: Vec<Duration>,
}

/// What the receivers share.
struct Clock {
    start: Instant,
    /// Microseconds from the call to the last receiver so far, by number.
    last_us: Vec<AtomicU64>,
}

/// `clients`: where goim's clients connect; `http`: goim's HTTP, open.
pub async fn run(clients: SocketAddr, http: SocketAddr, plan: Plan) -> Result<Heard> {
    let last_us = (0..plan.messages).map(|_| AtomicU64::new(0)).collect();
    let clock = Arc::new(Clock { start: Instant::now(), last_us });
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut entering = JoinSet::new();
    for _ in 0..plan.receivers {
        let places = places.clone();
        entering.spawn(async move {
            let _place = places.acquire().await?;
            enter(clients).await
        });
    }
    let mut receivers = JoinSet::new();
    while let Some(entered) = entering.join_next().await {
        receivers.spawn(listen(entered??, clock.clone()));
    }
    let answered = push(http, plan, &clock).await?;
    let mut sum = Heard { pushed: plan.messages.into(), answered, ..Heard::default() };
    while let Some(one) = receivers.join_next().await {
        let (heard, doubled_or_late) = one??;
        sum.heard += heard;
        sum.doubled_or_late += doubled_or_late;
    }
    sum.lost = sum.pushed * plan.receivers as u64 - sum.heard;
    sum.last_receiver = clock.last_us.iter().map(|us| Duration::from_micros(us.load(Ordering::Relaxed))).collect();
    Ok(sum)
}

async fn enter(at: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(at).await.context("connect a guest")?;
    let auth = format!(r#"{{"room_id":"live://crowd","accepts":[{OPERATION}]}}"#);
    let mut frame = Vec::with_capacity(HEADER + auth.len());
    frame.extend(((HEADER + auth.len()) as i32).to_be_bytes());
    frame.extend([0, HEADER as u8, 0, 1]);
    frame.extend(AUTH.to_be_bytes());
    frame.extend(1i32.to_be_bytes());
    frame.extend(auth.as_bytes());
    stream.write_all(&frame).await?;
    let mut reply = [0; HEADER];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut reply)).await.context("a guest is not let in")??;
    ensure!(reply[8..12] == AUTH_REPLY.to_be_bytes(), "a guest is refused");
    Ok(stream)
}

/// Until the last message, or nothing for long. Answers how many were new, and how many were not.
async fn listen(mut stream: TcpStream, clock: Arc<Clock>) -> Result<(u64, u64)> {
    let mut unread = BytesMut::with_capacity(8 * 1024);
    let (mut heard, mut doubled_or_late, mut next) = (0, 0, 0);
    while next < clock.last_us.len() {
        let Ok(read) = tokio::time::timeout(PATIENCE, stream.read_buf(&mut unread)).await else { break };
        if read.context("a guest is cut off")? == 0 {
            break;
        }
        while let Some((number, since_us)) = message(&mut unread)? {
            if number < next {
                doubled_or_late += 1;
                continue;
            }
            heard += 1;
            next = number + 1;
            let took = clock.start.elapsed().as_micros() as u64 - since_us;
            if let Some(last) = clock.last_us.get(number) {
                last.fetch_max(took, Ordering::Relaxed);
            }
        }
    }
    Ok((heard, doubled_or_late))
}

/// Number and time of the next message, if it is whole.
fn message(unread: &mut BytesMut) -> Result<Option<(usize, u64)>> {
    let Some(length) = unread.first_chunk::<4>().map(|length| i32::from_be_bytes(*length) as usize) else { return Ok(None) };
    ensure!((HEADER..1 << 20).contains(&length), "a frame of {length} bytes");
    if unread.len() < length {
        return Ok(None);
    }
    let mut frame = unread.split_to(length);
    frame.advance(HEADER);
    let text = std::str::from_utf8(&frame).context("a message is no text")?;
    let (number, since_us) = text.split_once(' ').context("a message nobody pushed")?;
    Ok(Some((number.parse()?, since_us.parse()?)))
}

/// One call after the other on one connection, so that their order is known.
async fn push(http: SocketAddr, plan: Plan, clock: &Clock) -> Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(http).await.context("connect the tool")?;
    stream.set_nodelay(true)?;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / plan.per_second);
    let mut answered = Vec::with_capacity(plan.messages as usize);
    let mut unread = BytesMut::new();
    for number in 0..plan.messages {
        ticks.tick().await;
        let since = Instant::now();
        let body = format!("{number} {}", clock.start.elapsed().as_micros());
        let path = format!("/goim/push/room?operation={OPERATION}&type=live&room=crowd");
        let call = format!("POST {path} HTTP/1.1\r\nHost: {http}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(call.as_bytes()).await?;
        let answer = tokio::time::timeout(PATIENCE, answer(&mut stream, &mut unread)).await.context("a call is not answered")??;
        ensure!(answer.contains(r#""code":0"#), "a push is refused: {answer}");
        answered.push(since.elapsed());
    }
    Ok(answered)
}

/// The body of the next answer.
async fn answer(stream: &mut TcpStream, unread: &mut BytesMut) -> Result<String> {
    loop {
        if let Some(end) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&unread[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).context("an answer without length")?;
            let whole = end + 4 + length.trim().parse::<usize>()?;
            if unread.len() >= whole {
                let answer = unread.split_to(whole);
                return Ok(String::from_utf8_lossy(&answer[end + 4..]).into_owned());
            }
        }
        ensure!(stream.read_buf(unread).await? > 0, "the tool is cut off");
    }
}
