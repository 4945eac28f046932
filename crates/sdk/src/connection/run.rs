//! The task of one connection. It alone reads and writes the socket, both at once, and pairs replies with requests.
//!
//! **Invariant:** a seq names one request for as long as anybody waits for its reply.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use skein_protocol::{CloseCode, Codec, Frame, Op, Push, Reply, Request, v1};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::transport::{Framing, Inbound, Socket};
use super::{AUTH_SEQ, Opened};
use crate::error::{CloseReason, Error};

pub(super) struct Call {
    pub request: Request,
    pub reply: oneshot::Sender<Result<Reply, Error>>,
}

/// Towards [`super::Pushes`].
pub(super) struct Outlet {
    pub queue: mpsc::Sender<Push>,
    pub overflowed: Arc<AtomicBool>,
}

/// With so much unwritten no further request is taken: the server does not read.
const OUTBOUND_BYTES_MAX: usize = 256 * 1024;
const READ_BYTES: usize = 4 * 1024;
/// For the goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

pub(super) struct Runner {
    reader: ReadHalf<Box<dyn Socket>>,
    writer: WriteHalf<Box<dyn Socket>>,
    framing: Framing,
    inbound: BytesMut,
    outbound: BytesMut,
    calls: mpsc::Receiver<Call>,
    waiting: HashMap<i32, oneshot::Sender<Result<Reply, Error>>>,
    last_seq: i32,
    outlet: Outlet,
    closing: CancellationToken,
    beat: Interval,
    liveness: Duration,
    heard_at: Instant,
    /// On TCP the reason comes as an `error` push ahead of the end.
    announced: Option<CloseReason>,
}

impl Runner {
    pub fn new(
        opened: Opened,
        calls: mpsc::Receiver<Call>,
        outlet: Outlet,
        closing: CancellationToken,
        heartbeat: Duration,
        liveness: Duration,
    ) -> Self {
        let (reader, writer) = tokio::io::split(opened.socket);
        let mut beat = tokio::time::interval_at(Instant::now() + heartbeat, heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            reader,
            writer,
            framing: opened.framing,
            inbound: opened.inbound,
            outbound: opened.outbound,
            calls,
            waiting: HashMap::new(),
            last_seq: AUTH_SEQ,
            outlet,
            closing,
            beat,
            liveness,
            heard_at: Instant::now(),
            announced: None,
        }
    }

    pub async fn run(mut self, told: watch::Sender<Option<CloseReason>>) {
        let reason = match self.drain_inbound() {
            Ok(()) => self.serve().await,
            Err(reason) => reason,
        };
        tracing::debug!(reason = %reason, "connection ended");
        self.say_goodbye(reason.code.filter(|_| reason.is_broken).unwrap_or(CloseCode::Normal)).await;
        told.send_replace(Some(reason));
        // Senders of waiting requests and of pushes end with `self`, after the reason is known.
    }

    async fn serve(&mut self) -> CloseReason {
        loop {
            self.inbound.reserve(READ_BYTES);
            // All arms are cancel-safe: a partial read or write has moved its buffer.
            let step = tokio::select! {
                read = self.reader.read_buf(&mut self.inbound) => match read {
                    Ok(0) => Err(CloseReason::lost("connection lost")),
                    Ok(_) => self.drain_inbound(),
                    Err(error) => Err(CloseReason::lost(error)),
                },
                written = self.writer.write_buf(&mut self.outbound), if !self.outbound.is_empty() => self.wrote(written).await,
                call = self.calls.recv(), if self.outbound.len() < OUTBOUND_BYTES_MAX => match call {
                    Some(call) => self.start(call),
                    None => Err(CloseReason::of(CloseCode::Normal)),
                },
                _ = self.beat.tick() => self.heartbeat(),
                () = sleep_until(self.heard_at + self.liveness) => Err(CloseReason::of(CloseCode::HeartbeatTimeout)),
                () = self.closing.cancelled() => Err(CloseReason::of(CloseCode::Normal)),
            };
            if let Err(reason) = step {
                return self.announced.take().unwrap_or(reason);
            }
        }
    }

    async fn wrote(&mut self, written: std::io::Result<usize>) -> Result<(), CloseReason> {
        match written {
            Ok(0) => Err(CloseReason::lost("connection lost")),
            Ok(_) if self.outbound.is_empty() => self.writer.flush().await.map_err(CloseReason::lost),
            Ok(_) => Ok(()),
            Err(error) => Err(CloseReason::lost(error)),
        }
    }

    fn start(&mut self, call: Call) -> Result<(), CloseReason> {
        let seq = self.next_seq();
        let encoded = Frame::request(&call.request, seq, Codec::Protobuf).map_err(|error| Error::Protocol(error.to_string()));
        let queued = encoded.and_then(|frame| self.framing.encode(&frame, &mut self.outbound));
        match queued {
            Ok(()) => drop(self.waiting.insert(seq, call.reply)),
            Err(error) => drop(call.reply.send(Err(error))),
        }
        Ok(())
    }

    /// Positive and free.
    fn next_seq(&mut self) -> i32 {
        loop {
            self.last_seq = self.last_seq.checked_add(1).unwrap_or(AUTH_SEQ + 1);
            if !self.waiting.contains_key(&self.last_seq) {
                return self.last_seq;
            }
        }
    }

    /// Also forgets requests nobody waits for any more: they reached their deadline without a reply.
    fn heartbeat(&mut self) -> Result<(), CloseReason> {
        self.waiting.retain(|_, reply| !reply.is_closed());
        let seq = self.next_seq();
        let beat = Request::Heartbeat(v1::Heartbeat::default());
        let frame = Frame::request(&beat, seq, Codec::Protobuf).map_err(CloseReason::lost)?;
        self.framing.encode(&frame, &mut self.outbound).map_err(CloseReason::lost)
    }

    fn drain_inbound(&mut self) -> Result<(), CloseReason> {
        self.heard_at = Instant::now();
        loop {
            match self.framing.decode(&mut self.inbound, &mut self.outbound) {
                Ok(None) => return Ok(()),
                Ok(Some(Inbound::Alive)) => {}
                Ok(Some(Inbound::Frame(frame))) => self.hear(frame),
                Ok(Some(Inbound::Closed(reason))) => return Err(reason),
                Err(reason) => return Err(reason),
            }
        }
    }

    fn hear(&mut self, frame: Frame) {
        if frame.seq == 0 {
            return self.hear_push(&frame);
        }
        // A heartbeat's reply, or one that came after its deadline.
        let Some(reply) = self.waiting.remove(&frame.seq) else {
            return;
        };
        let answer = match Reply::decode(frame.op, Codec::Protobuf, &frame.body) {
            Ok(Reply::Error(error)) => Err(error.into()),
            Ok(reply) => Ok(reply),
            Err(error) => Err(Error::Protocol(error.to_string())),
        };
        drop(reply.send(answer));
    }

    fn hear_push(&mut self, frame: &Frame) {
        match Push::decode(frame.op, Codec::Protobuf, &frame.body) {
            Ok(Push::Error(error)) => self.announced = Some(close_reason(&error)),
            Ok(push) => self.outlet.put(push),
            Err(error) if frame.op != Op::ERROR => tracing::debug!(op = frame.op.0, error = %error, "push ignored"),
            Err(error) => self.announced = Some(CloseReason::lost(error)),
        }
    }

    async fn say_goodbye(&mut self, code: CloseCode) {
        self.framing.encode_close(code, &mut self.outbound);
        let last_words = async {
            self.writer.write_all_buf(&mut self.outbound).await?;
            self.writer.shutdown().await
        };
        if !matches!(timeout(CLOSE_TIMEOUT, last_words).await, Ok(Ok(()))) {
            tracing::debug!("peer was gone before the goodbye");
        }
    }
}

impl Outlet {
    fn put(&self, push: Push) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(push) {
            metrics::counter!("skein_sdk_pushes_discarded_total").increment(1);
            self.overflowed.store(true, Ordering::Relaxed);
        }
    }
}

pub(super) fn close_reason(error: &v1::Error) -> CloseReason {
    CloseReason { code: CloseCode::from_name(&error.code), ..CloseReason::lost(format_args!("{}: {}", error.code, error.message)) }
}
