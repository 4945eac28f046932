//! What is said on a connection of an account: the session judges, Logic answers, replies go on the queue.
//!
//! **Invariant:** the connection is registered and in the hub before its `hello` leaves; when it ends it leaves both, and
//! calls under way run to their end.

use super::calls::{Calls, Done, call};
use super::line::Line;
use super::login::{LogIn, LoggedIn, Registered};
use super::peer::Orders;
use super::session::{Ask, Return, Session, State, Then, close_of_refusal};
use super::shared::Shared;
use super::upgrade::Opening;
use super::wire::{Form, Inbound, Variant, Wire, close_frame};
use super::{convert, login};
use futures_util::StreamExt;
use skein_domain::Error;
use skein_domain::command::Command;
use skein_domain::door::{Caller, Connect, Credential};
use skein_domain::trace::TraceId;
use skein_protocol::websocket::{CloseFrame, Opcode, server_frame};
use skein_protocol::{CloseCode, Codec, Frame, Op, Push, Reply, v1};
use std::sync::Arc;
use std::task::{Context, Poll};

pub(super) struct Skein {
    wire: Wire,
    session: Session,
    work: Option<Box<Work>>,
    registered: Option<Registered>,
}

/// What only a connection that waits for Logic has. Dropping it lets the calls run to their end.
struct Work {
    shared: Arc<Shared>,
    log_in: Option<LogIn>,
    calls: Calls,
}

impl Skein {
    pub fn new(line: &Line) -> Self {
        let form = Form::Frame(Codec::default());
        line.peer.set_variant(Variant { transport: line.transport(), form, deflate: false });
        Self { wire: Wire::new(line.transport()), session: Session::new(line.config()), work: None, registered: None }
    }

    /// A WebSocket whose upgrade request may have said already who this is.
    pub fn open(line: &mut Line, opening: Opening) -> Self {
        let mut skein = Self::new(line);
        let Opening { form, credential, client, forbidden } = opening;
        line.peer.set_variant(Variant { form, ..line.peer.variant() });
        if forbidden {
            line.hub().meters.auth_failures.increment(1);
            line.close(CloseCode::AuthFailed, Some(close_frame(CloseCode::AuthFailed.number(), "forbidden")));
        } else if let Some(credential) = credential {
            // To op `hello`: there is no request to answer.
            let to = Return { op: Op::HELLO, seq: 0, form };
            match skein.session.presented() {
                Ok(()) => skein.log_in(line, credential, client, to),
                Err(refused) => tracing::error!(%refused, "illegal move"),
            }
        }
        skein
    }

    pub fn close(&mut self, line: &mut Line, code: CloseCode) {
        let last = line.peer.variant().close(code);
        line.close(code, last);
    }

    /// The peer said goodbye: the same code goes back.
    fn close_back(&mut self, line: &mut Line, close: Option<CloseFrame>) {
        let last = match close {
            Some(close) => close_frame(close.code, ""),
            None => server_frame(Opcode::Close, b""),
        };
        line.close(CloseCode::Normal, Some(last));
    }

    pub fn end(&mut self) {
        if self.session.state() != State::Closed
            && let Err(refused) = self.session.close()
        {
            tracing::error!(%refused, "illegal move");
        }
        self.registered = None;
        self.work = None;
    }

    pub fn judge(&mut self, line: &mut Line) {
        if self.session.state() == State::Draining && self.session.in_flight() == 0 {
            self.close(line, CloseCode::GoingAway);
        }
    }

    pub fn obey(&mut self, line: &mut Line, orders: Orders) {
        if orders.expired && self.session.caller().is_none() {
            self.close(line, CloseCode::AuthTimeout);
        }
        if let Some(code) = orders.close {
            self.close(line, code);
        }
        if orders.ping {
            line.peer.keep(server_frame(Opcode::Ping, b""));
        }
        if let Some(after_ms) = orders.drain_after_ms
            && line.is_open()
        {
            self.drain(line, after_ms);
        }
    }

    fn drain(&mut self, line: &mut Line, after_ms: i64) {
        if self.session.drain().is_err() {
            self.close(line, CloseCode::GoingAway);
        } else if let Some(bytes) = line.peer.variant().push(&Push::GoAway(v1::GoAway { after_ms })) {
            line.peer.keep(bytes);
        }
    }

    // === in ===

    pub fn is_paused(&self, line: &Line) -> bool {
        self.session.is_paused(line.config())
    }

    pub fn in_flight(&self) -> u32 {
        self.session.in_flight()
    }

    pub fn is_logging_in(&self) -> bool {
        self.session.state() == State::Authenticating
    }

    /// `false`: more bytes are needed.
    pub fn hear(&mut self, line: &mut Line) -> bool {
        match self.wire.next(&mut line.unread) {
            Ok(Some(inbound)) => self.heard(line, inbound),
            Ok(None) => return false,
            Err(code) => self.close(line, code),
        }
        true
    }

    /// The log-in, as it was read before anybody knew whose it is.
    pub fn hear_first(&mut self, line: &mut Line, log_in: &Frame) {
        match log_in.check_version() {
            Ok(()) => self.heard(line, Inbound::Frame(log_in.clone())),
            Err(error) => self.close(line, error.close_code()),
        }
    }

    fn heard(&mut self, line: &mut Line, inbound: Inbound) {
        line.peer.heard(line.now_ms);
        line.hub().meters.frames_in.increment(1);
        let ask = match inbound {
            Inbound::Frame(frame) => self.session.frame(&frame, line.now_ms, line.config()),
            Inbound::Text(text) => self.session.text(&text, line.now_ms, line.config()),
            Inbound::Ping(payload) => return line.peer.keep(server_frame(Opcode::Pong, &payload)),
            Inbound::Pong => return,
            Inbound::Close(close) => return self.close_back(line, close),
        };
        match ask {
            Ask::Reply(to, reply) => self.reply(line, to, &reply),
            Ask::Limit(to, reply) => {
                line.hub().meters.rate_limited.increment(1);
                self.reply(line, to, &reply);
            }
            Ask::Refuse(to, reply, code) => {
                line.hub().meters.auth_failures.increment(1);
                self.reply(line, to, &reply);
                self.close(line, code);
            }
            Ask::Close(code) => self.close(line, code),
            Ask::Connect { credential, client, to } => self.log_in(line, credential, client, to),
            Ask::Accept { operations, to } => {
                if let Some(registered) = &self.registered {
                    line.hub().seats.accept(registered.connection(), operations);
                }
                self.reply(line, to, &Reply::Done(v1::Done {}));
            }
            Ask::Call { command, to, then, bytes } => self.call(line, command, to, then, bytes),
        }
    }

    // === work ===

    fn work(&mut self, line: &Line) -> &mut Work {
        let new = || Box::new(Work { shared: line.shared.clone(), log_in: None, calls: Calls::default() });
        self.work.get_or_insert_with(new)
    }

    fn log_in(&mut self, line: &mut Line, credential: Credential, client: String, to: Return) {
        // An error and the close before `hello` already speak the chosen form.
        line.peer.set_variant(self.session.variant(line.transport(), to.form));
        let connect = Connect {
            credential,
            node: line.hub().node.clone(),
            generation: line.peer.generation,
            client,
            address: line.address.to_string(),
        };
        self.work(line).log_in = Some(login::start(&line.shared, connect, to));
    }

    fn call(&mut self, line: &mut Line, command: Command, to: Return, then: Then, bytes: usize) {
        let (Some(caller), Some(registered)) = (self.session.caller().cloned(), &self.registered) else {
            return self.close(line, CloseCode::Internal);
        };
        let (hub, connection) = (&line.shared.hub, registered.connection());
        match &then {
            Then::Sync => line.peer.sync_begins(),
            Then::Watch(on) => hub.seats.watch(connection, *on),
            Then::JoinLive { room, .. } => {
                if let Err(error) = hub.seats.want_live(connection, room) {
                    self.session.answered(bytes);
                    return self.reply(line, to, &Reply::Error(convert::error(error, "")));
                }
            }
            Then::LeaveLive(room) => hub.seats.leave_live(connection, room),
            Then::Nothing => {}
        }
        hub.meters.in_flight.increment(1.0);
        let call = call(&*line.shared.logic, caller, command, (to, then, bytes), hub.sampling.begin(), hub.config.call_deadline());
        self.work(line).calls.push(call);
    }

    /// Whether anything was finished.
    pub fn poll_work(&mut self, line: &mut Line, cx: &mut Context<'_>) -> bool {
        let mut worked = false;
        while let Some(work) = &mut self.work {
            if let Some(log_in) = &mut work.log_in {
                let Poll::Ready((to, outcome)) = log_in.poll(cx) else {
                    return worked;
                };
                self.work = None;
                self.logged_in(line, to, outcome);
                return true;
            }
            match work.calls.poll_next_unpin(cx) {
                Poll::Ready(Some(done)) => self.answer(line, done),
                Poll::Ready(None) => self.work = None,
                Poll::Pending => return worked,
            }
            worked = true;
        }
        worked
    }

    fn logged_in(&mut self, line: &mut Line, to: Return, outcome: Result<LoggedIn, Error>) {
        let LoggedIn { connected, registered, since_ms } = match outcome {
            Ok(logged_in) => logged_in,
            Err(error) => return self.refuse(line, to, error),
        };
        self.registered = Some(registered);
        let hub = line.shared.hub.clone();
        let caller = Caller {
            uid: connected.session.uid,
            session: connected.session.id,
            class: connected.session.class,
            connection: Some((hub.node.clone(), line.peer.generation)),
            address: line.address.to_string(),
            trace: None,
        };
        if let Err(refused) = self.session.logged_in(caller) {
            tracing::error!(%refused, "illegal move");
            return self.close(line, CloseCode::Internal);
        }
        self.wire.raise_limits();
        line.peer.set_deadline(None);
        // First in the queue, before a push can be; it leaves only after the hub knows the connection.
        self.greet(line, to, login::hello(&connected, &hub));
        if !hub.seats.enter(login::entry(connected, line), since_ms) {
            self.close(line, CloseCode::Replaced);
        }
    }

    fn greet(&mut self, line: &mut Line, to: Return, hello: v1::Hello) {
        if to.op == Op::HELLO {
            let variant = Variant { deflate: false, ..line.peer.variant() };
            if let Some(bytes) = variant.push(&Push::Hello(hello)) {
                line.peer.keep(bytes);
            }
        } else {
            self.reply(line, to, &Reply::Hello(hello));
        }
    }

    fn refuse(&mut self, line: &mut Line, to: Return, error: Error) {
        let hub = &line.shared.hub;
        hub.meters.auth_failures.increment(1);
        let code = close_of_refusal(&error);
        let code_name = error.code.as_str();
        if let Some(left_out) = hub.refusals_told.allow() {
            tracing::info!(conn = line.peer.generation.0, address = %line.address, code = code_name, left_out, "log-in refused");
        }
        if to.op != Op::HELLO {
            self.reply(line, to, &Reply::Error(convert::error(error, "")));
        }
        self.close(line, code);
    }

    fn answer(&mut self, line: &mut Line, done: Done) {
        let Done { to, then, bytes, outcome, failure } = done;
        let trace = failure.map(|id| id.to_string()).unwrap_or_default();
        self.session.answered(bytes);
        line.hub().meters.in_flight.decrement(1.0);
        if let (Then::JoinLive { room, presence }, Some(registered)) = (&then, &self.registered) {
            line.hub().seats.join_live(registered.connection(), room, *presence, outcome.is_ok());
        }
        let reply = match outcome.map(convert::reply) {
            Ok(Some(reply)) => reply,
            Ok(None) => {
                let failure = TraceId::new();
                tracing::error!(op = to.op.0, %failure, "reply has no counterpart on the wire");
                Reply::Error(convert::error(Error::internal(), &failure.to_string()))
            }
            Err(error) => Reply::Error(convert::error(error, &trace)),
        };
        self.reply(line, to, &reply);
        if let (Then::Sync, Reply::SyncPage(page)) = (then, &reply)
            && line.peer.sync_ends(page.more, line.config().resync_after_ms)
        {
            line.hub().meters.resyncs.increment(1);
        }
    }

    // === out ===

    fn reply(&mut self, line: &mut Line, to: Return, reply: &Reply) {
        let mut variant = self.session.variant(line.transport(), to.form);
        variant.deflate &= !matches!(reply, Reply::Hello(_));
        let bytes = variant
            .reply(reply, to.op, to.seq)
            .or_else(|| variant.reply(&Reply::Error(convert::error(Error::internal(), "")), to.op, to.seq));
        if let Some(bytes) = bytes {
            line.peer.keep(bytes);
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let mut calls = std::mem::take(&mut self.calls);
        self.shared.hub.meters.in_flight.decrement(calls.len() as f64);
        if !calls.is_empty() {
            self.shared.spawn(async move { while calls.next().await.is_some() {} });
        }
    }
}
