//! One connection, one task: reads, asks the session, calls Logic, writes.
//!
//! Shaped for 100,000 idle peers: reading goes through a buffer of the thread, only unfinished bytes are kept; everything
//! queued leaves in one write; what only busy connections need is boxed and given back; there is no timer (the sweep looks
//! at the clock for all).
//!
//! **Invariant:** however it ends, the connection leaves hub, registry and roster: guards undo what was done. Calls under
//! way run to their end, because their outcome is somebody's message.
//!
//! **Bound:** what is read and not answered (see [`super::session`]), what waits to be written (see [`super::outbound`]), and
//! the time for a farewell (`linger_ms`).

use super::calls::{Calls, Done, call};
use super::login::{LogIn, LoggedIn, Registered};
use super::peer::Peer;
use super::session::{Ask, Return, Session, State, Then, close_of_refusal};
use super::upgrade::Opening;
use super::wire::{Form, Inbound, Transport, Variant, Wire, close_frame};
use super::{Shared, convert, login};
use crate::listen::Permit;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use skein_domain::Error;
use skein_domain::command::Command;
use skein_domain::door::{Caller, Connect, Credential};
use skein_domain::push::ConnectionRef;
use skein_domain::trace::TraceId;
use skein_protocol::websocket::{Opcode, server_frame};
use skein_protocol::{CloseCode, Codec, Op, Push, Reply, v1};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Size of a thread's read buffer, and so the most one read takes.
const SCRATCH_BYTES: usize = 32 * 1024;
/// Frames in one write.
const SLICES: usize = 64;
/// Reads, calls and writes in one wake before others get their turn.
const TURNS: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

mod ending;

pub(super) struct Connection<S> {
    stream: S,
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    wire: Wire,
    session: Session,
    /// Read, and not yet a whole message. Without memory while empty.
    unread: BytesMut,
    /// Taken from the queue, not yet written. Without memory while empty.
    writing: VecDeque<Bytes>,
    /// Part of the first of `writing` has left.
    is_front_cut: bool,
    /// Something was written since the last flush.
    is_unflushed: bool,
    stage: Stage,
    discarded: u32,
    address: IpAddr,
    work: Option<Box<Work>>,
    registered: Option<Registered>,
    code: Option<CloseCode>,
    now_ms: u64,
    _permit: Permit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The farewell is queued.
    Closing,
    /// All is written.
    ShuttingDown,
    /// Until the peer closes too: closing on unread bytes would reset the farewell away.
    Discarding,
}

/// What only a connection that waits for Logic has.
#[derive(Default)]
struct Work {
    log_in: Option<LogIn>,
    calls: Calls,
}

/// The peer is gone without a word.
struct Lost;

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        tracing::debug!(%error, "connection lost");
        Lost
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// `unread` is what the peer said right behind its upgrade request.
    pub fn new(shared: Arc<Shared>, stream: S, transport: Transport, address: IpAddr, unread: Bytes, permit: Permit) -> Self {
        let hub = &shared.hub;
        let now_ms = hub.ticks.now_ms();
        let form = Form::Frame(Codec::default());
        let variant = Variant { transport, form, deflate: false };
        let deadline_ms = now_ms + u64::from(hub.config.auth_timeout_ms);
        let peer = Arc::new(Peer::new(hub.ticks.next_generation(), variant, now_ms, deadline_ms));
        hub.roster.add(peer.clone());
        hub.meters.connections(transport).increment(1.0);
        if shared.is_draining() {
            peer.order(|orders| orders.drain_after_ms = Some(0));
        }
        Self {
            stream,
            peer,
            wire: Wire::new(transport),
            session: Session::new(&hub.config),
            unread: BytesMut::from(&unread[..]),
            writing: VecDeque::new(),
            is_front_cut: false,
            is_unflushed: false,
            stage: Stage::Open,
            discarded: 0,
            address,
            work: None,
            registered: None,
            code: None,
            now_ms,
            _permit: permit,
            shared,
        }
    }

    /// A WebSocket whose upgrade request may have said already who this is.
    pub fn open(mut self, opening: Opening) -> Self {
        let Opening { form, credential, client, forbidden } = opening;
        self.peer.set_variant(Variant { form, ..self.peer.variant() });
        if forbidden {
            self.shared.hub.meters.auth_failures.increment(1);
            self.close_with(CloseCode::AuthFailed, Some(close_frame(CloseCode::AuthFailed.number(), "forbidden")));
        } else if let Some(credential) = credential {
            // To op `hello`: there is no request to answer.
            let to = Return { op: Op::HELLO, seq: 0, form };
            match self.session.presented() {
                Ok(()) => self.log_in(credential, client, to),
                Err(refused) => tracing::error!(%refused, "illegal move"),
            }
        }
        self
    }

    fn poll_turns(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Lost> {
        self.now_ms = self.shared.hub.ticks.now_ms();
        self.peer.watch(cx.waker());
        if self.obey().is_break() {
            return Ok(Poll::Ready(()));
        }
        for _ in 0..TURNS {
            if self.stage != Stage::Open {
                return self.poll_farewell(cx);
            }
            let worked = self.poll_work(cx);
            let read = self.poll_read(cx)?;
            let was_paused = self.is_paused();
            self.poll_write(cx)?;
            self.judge();
            // Nobody else would wake it for what is read already.
            let resumes = was_paused && !self.is_paused();
            if !worked && !read && !resumes && self.stage == Stage::Open {
                return Ok(Poll::Pending);
            }
        }
        cx.waker().wake_by_ref();
        Ok(Poll::Pending)
    }

    /// After everything was tried: is this the end?
    fn judge(&mut self) {
        if self.peer.is_over(self.shared.hub.config.queue_bytes_max as usize) {
            self.close(CloseCode::Slow);
        } else if self.session.state() == State::Draining && self.session.in_flight() == 0 {
            self.close(CloseCode::GoingAway);
        }
    }

    fn obey(&mut self) -> ControlFlow<()> {
        let orders = self.peer.orders();
        let is_farewell_over = orders.expired && self.stage != Stage::Open;
        if orders.abort || is_farewell_over {
            return ControlFlow::Break(());
        }
        if orders.expired && self.session.caller().is_none() {
            self.close(CloseCode::AuthTimeout);
        }
        if let Some(code) = orders.close {
            self.close(code);
        }
        if orders.ping {
            self.peer.keep(server_frame(Opcode::Ping, b""));
        }
        if let Some(after_ms) = orders.drain_after_ms {
            self.drain(after_ms);
        }
        ControlFlow::Continue(())
    }

    fn drain(&mut self, after_ms: i64) {
        if self.session.drain().is_err() {
            self.close(CloseCode::GoingAway);
        } else if let Ok(bytes) = self.peer.variant().push(&Push::GoAway(v1::GoAway { after_ms })) {
            self.peer.keep(bytes);
        }
    }

    // === in ===

    /// Whether anything happened.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, Lost> {
        let mut has_read = false;
        let mut has_heard = false;
        loop {
            if self.stage != Stage::Open {
                return Ok(has_read || has_heard);
            }
            if self.is_paused() {
                // A client that leaves during its log-in is noticed, at the price of one read.
                let listens = self.session.state() == State::Authenticating && self.unread.is_empty();
                return Ok((listens && self.read(cx)?) || has_read || has_heard);
            }
            match self.wire.next(&mut self.unread) {
                Ok(Some(inbound)) => {
                    has_heard = true;
                    self.hear(inbound);
                    continue;
                }
                Ok(None) => {}
                Err(code) => {
                    self.close(code);
                    return Ok(true);
                }
            }
            if self.unread.is_empty() {
                self.unread = BytesMut::new();
            }
            if has_read || !self.read(cx)? {
                return Ok(has_read || has_heard);
            }
            has_read = true;
        }
    }

    /// A client that does not take its replies is not asked for more questions.
    fn is_paused(&self) -> bool {
        let config = &self.shared.hub.config;
        self.session.is_paused(config) || self.peer.kept_bytes() > config.queue_bytes_max as usize / 2
    }

    /// `false`: there is nothing now.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Lost> {
        let (stream, unread) = (&mut self.stream, &mut self.unread);
        match scratch_read(stream, cx, |bytes| unread.extend_from_slice(bytes)) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0)) => Err(Lost),
            Poll::Ready(Ok(bytes)) => {
                self.shared.hub.meters.bytes_in.increment(bytes as u64);
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(error.into()),
        }
    }

    fn hear(&mut self, inbound: Inbound) {
        self.peer.heard(self.now_ms);
        self.shared.hub.meters.frames_in.increment(1);
        let config = &self.shared.hub.config;
        let ask = match inbound {
            Inbound::Frame(frame) => self.session.frame(&frame, self.now_ms, config),
            Inbound::Text(text) => self.session.text(&text, self.now_ms, config),
            Inbound::Ping(payload) => return self.peer.keep(server_frame(Opcode::Pong, &payload)),
            Inbound::Pong => return,
            Inbound::Close(close) => return self.close_back(close),
        };
        match ask {
            Ask::Reply(to, reply) => self.reply(to, &reply),
            Ask::Limit(to, reply) => {
                self.shared.hub.meters.rate_limited.increment(1);
                self.reply(to, &reply);
            }
            Ask::Refuse(to, reply, code) => {
                self.shared.hub.meters.auth_failures.increment(1);
                self.reply(to, &reply);
                self.close(code);
            }
            Ask::Close(code) => self.close(code),
            Ask::Connect { credential, client, to } => self.log_in(credential, client, to),
            Ask::Call { command, to, then, bytes } => self.call(command, to, then, bytes),
        }
    }

    // === work ===

    fn work(&mut self) -> &mut Work {
        self.work.get_or_insert_default()
    }

    fn log_in(&mut self, credential: Credential, client: String, to: Return) {
        // An error and the close before `hello` already speak the chosen form.
        self.peer.set_variant(self.session.variant(self.wire.transport(), to.form));
        let connect = Connect {
            credential,
            node: self.shared.hub.node.clone(),
            generation: self.peer.generation,
            client,
            address: self.address.to_string(),
        };
        let log_in = login::start(&self.shared, connect, to);
        self.work().log_in = Some(log_in);
    }

    fn call(&mut self, command: Command, to: Return, then: Then, bytes: usize) {
        let (Some(caller), Some(registered)) = (self.session.caller().cloned(), &self.registered) else {
            return self.close(CloseCode::Internal);
        };
        match then {
            Then::Sync => self.peer.sync_begins(),
            Then::Watch(on) => self.shared.hub.watch(registered.connection(), on),
            Then::Nothing => {}
        }
        self.shared.hub.meters.in_flight.increment(1.0);
        let hub = &self.shared.hub;
        let call = call(&*self.shared.logic, caller, command, (to, then, bytes), hub.sampling.begin(), hub.config.call_deadline());
        self.work().calls.push(call);
    }

    /// Whether anything was finished.
    fn poll_work(&mut self, cx: &mut Context<'_>) -> bool {
        let mut worked = false;
        while let Some(work) = &mut self.work {
            if let Some(log_in) = &mut work.log_in {
                let Poll::Ready((to, outcome)) = log_in.poll(cx) else {
                    return worked;
                };
                self.work = None;
                self.logged_in(to, outcome);
                return true;
            }
            match work.calls.poll_next_unpin(cx) {
                Poll::Ready(Some(done)) => self.answer(done),
                Poll::Ready(None) => self.work = None,
                Poll::Pending => return worked,
            }
            worked = true;
        }
        worked
    }

    fn logged_in(&mut self, to: Return, outcome: Result<LoggedIn, Error>) {
        let LoggedIn { connected, registered, since_ms } = match outcome {
            Ok(logged_in) => logged_in,
            Err(error) => return self.refuse(to, error),
        };
        let connection = registered.connection();
        self.registered = Some(registered);
        let hub = self.shared.hub.clone();
        let caller = Caller {
            uid: connected.session.uid,
            session: connected.session.id,
            class: connected.session.class,
            connection: Some((hub.node.clone(), self.peer.generation)),
            address: self.address.to_string(),
            trace: None,
        };
        if let Err(refused) = self.session.logged_in(caller) {
            tracing::error!(%refused, "illegal move");
            return self.close(CloseCode::Internal);
        }
        self.wire.raise_limits();
        self.peer.set_deadline(None);
        // First in the queue, before a push can be; it leaves only after the hub knows the connection.
        self.greet(to, login::hello(&connected, &hub));
        let ConnectionRef { session, .. } = connection;
        if !hub.enter(session, connected.session.uid, &self.peer, connected.rooms, since_ms) {
            self.close(CloseCode::Replaced);
        }
    }

    fn greet(&mut self, to: Return, hello: v1::Hello) {
        if to.op == Op::HELLO {
            let variant = Variant { deflate: false, ..self.peer.variant() };
            match variant.push(&Push::Hello(hello)) {
                Ok(bytes) => self.peer.keep(bytes),
                Err(error) => tracing::error!(%error, "hello has no encoding"),
            }
        } else {
            self.reply(to, &Reply::Hello(hello));
        }
    }

    fn refuse(&mut self, to: Return, error: Error) {
        self.shared.hub.meters.auth_failures.increment(1);
        let code = close_of_refusal(&error);
        let code_name = error.code.as_str();
        if let Some(left_out) = self.shared.hub.refusals_told.allow() {
            tracing::info!(conn = self.peer.generation.0, address = %self.address, code = code_name, left_out, "log-in refused");
        }
        if to.op != Op::HELLO {
            self.reply(to, &Reply::Error(convert::error(error, "")));
        }
        self.close(code);
    }

    fn answer(&mut self, done: Done) {
        let Done { to, then, bytes, outcome, failure } = done;
        let trace = failure.map(|id| id.to_string()).unwrap_or_default();
        self.session.answered(bytes);
        self.shared.hub.meters.in_flight.decrement(1.0);
        let reply = match outcome.map(convert::reply) {
            Ok(Some(reply)) => reply,
            Ok(None) => {
                let failure = TraceId::new();
                tracing::error!(op = to.op.0, %failure, "reply has no counterpart on the wire");
                Reply::Error(convert::error(Error::internal(), &failure.to_string()))
            }
            Err(error) => Reply::Error(convert::error(error, &trace)),
        };
        self.reply(to, &reply);
        if let (Then::Sync, Reply::SyncPage(page)) = (then, &reply)
            && self.peer.sync_ends(page.more, self.shared.hub.config.resync_after_ms)
        {
            self.shared.hub.meters.resyncs.increment(1);
        }
    }

    // === out ===

    fn reply(&mut self, to: Return, reply: &Reply) {
        let mut variant = self.session.variant(self.wire.transport(), to.form);
        variant.deflate &= !matches!(reply, Reply::Hello(_));
        let bytes = variant.reply(reply, to.op, to.seq).or_else(|error| {
            tracing::error!(%error, op = to.op.0, "reply has no encoding");
            variant.reply(&Reply::Error(convert::error(Error::internal(), "")), to.op, to.seq)
        });
        if let Ok(bytes) = bytes {
            self.peer.keep(bytes);
        }
    }

    /// `true`: everything has left.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, Lost> {
        loop {
            if self.writing.is_empty() {
                self.writing = VecDeque::new();
                self.peer.take(&mut self.writing);
            }
            if self.writing.is_empty() {
                return self.poll_flush(cx);
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            for (slice, bytes) in slices.iter_mut().zip(&self.writing) {
                *slice = IoSlice::new(bytes);
                count += 1;
            }
            match Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..count]) {
                Poll::Pending => {
                    self.peer.stalled(self.now_ms);
                    return Ok(false);
                }
                Poll::Ready(Ok(0)) => return Err(Lost),
                Poll::Ready(Ok(bytes)) => self.wrote(bytes),
                Poll::Ready(Err(error)) => return Err(error.into()),
            }
        }
    }

    fn wrote(&mut self, bytes: usize) {
        self.is_unflushed = true;
        self.peer.written(bytes);
        self.shared.hub.meters.writes.increment(1);
        self.shared.hub.meters.bytes_out.increment(bytes as u64);
        let mut left = bytes;
        while let Some(front) = self.writing.front_mut() {
            if front.len() > left {
                front.advance(left);
                self.is_front_cut |= left > 0;
                return;
            }
            left -= front.len();
            self.writing.pop_front();
            self.is_front_cut = false;
        }
    }

    /// TLS may hold back what was written.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<bool, Lost> {
        if !self.is_unflushed {
            return Ok(true);
        }
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Pending => {
                self.peer.stalled(self.now_ms);
                Ok(false)
            }
            Poll::Ready(flushed) => {
                flushed?;
                self.is_unflushed = false;
                Ok(true)
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Connection<S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.get_mut().poll_turns(cx).unwrap_or(Poll::Ready(()))
    }
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.let_calls_end();
        let hub = &self.shared.hub;
        hub.roster.remove(self.peer.generation);
        hub.meters.connections(self.wire.transport()).decrement(1.0);
        hub.meters.closed(self.code);
    }
}

/// One read through the thread's buffer: no connection holds one while it waits.
fn scratch_read<S: AsyncRead + Unpin>(stream: &mut S, cx: &mut Context<'_>, take: impl FnOnce(&[u8])) -> Poll<io::Result<usize>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut buf = ReadBuf::new(scratch);
        match Pin::new(stream).poll_read(cx, &mut buf) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                take(buf.filled());
                Poll::Ready(Ok(buf.filled().len()))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpStream;

    /// A hundred thousand of them in 40 MB.
    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Connection<TcpStream>>() <= 400, "{} bytes", size_of::<Connection<TcpStream>>());
        assert!(size_of::<Peer>() <= 256, "{} bytes", size_of::<Peer>());
    }
}
