//! What is said on a connection of goim's: the behaviour of goim's Comet, to the byte.
//!
//! Before its log-in everything but op 7 is skipped. A guest hears nothing but replies, pushes and the end of the stream:
//! no error, no close code. Where it shares a port with accounts it is a guest until its op 7 tells otherwise.
//!
//! **Invariant:** replies leave in the order of their requests and wait for nobody: Logic hears of messages and moves behind
//! the guest's back (see [`errands`]), as no answer of its changes a reply.
//!
//! **Bound:** what Logic has not heard yet, as for accounts: `in_flight_commands_max`, `in_flight_bytes_max`; at the bound
//! reading pauses. Bodies have at most 4,096 bytes.

use super::line::Line;
use super::peer::Orders;
use super::wire::{Form, Transport, Variant};
use errands::Errands;
use log_in::{LogIn, Registered};
use skein_domain::Error;
use skein_domain::live::{GuestCommand, RoomName};
use skein_protocol::goim::{self, Asked, LogIn as Whose};
use skein_protocol::websocket::{Opcode, server_frame};
use skein_protocol::{CloseCode, Frame, Op};
use std::task::{Context, Poll};
use wire::{Inbound, Wire};

mod errands;
mod log_in;
mod wire;

/// What is taken off a guest's queue at once; the rest may still be dropped for newer pushes.
pub(super) const TAKE_BYTES_MAX: usize = 16 * 1024;

pub(super) struct Guest {
    wire: Wire,
    state: State,
    /// The port is also the accounts'.
    may_be_skein: bool,
}

enum State {
    Connecting { cookie: String },
    Authenticating(LogIn),
    Online(Box<Online>),
    Ended,
}

struct Online {
    registered: Registered,
    room: Option<RoomName>,
    heartbeat_ms: u64,
    errands: Errands,
}

/// What came of hearing.
pub(super) enum Heard {
    /// More bytes are needed.
    Nothing,
    Something,
    /// This log-in is an account's.
    Skein(Frame),
}

impl Guest {
    /// How anything looks that is sent to a guest.
    pub fn variant(transport: Transport) -> Variant {
        Variant { transport, form: Form::Goim, deflate: false }
    }

    pub fn new(transport: Transport, may_be_skein: bool) -> Self {
        Self { wire: Wire::new(transport), state: State::Connecting { cookie: String::new() }, may_be_skein }
    }

    pub fn end(&mut self) {
        self.state = State::Ended;
    }

    pub fn obey(&mut self, line: &mut Line, orders: &Orders) {
        if orders.expired {
            let is_online = matches!(self.state, State::Online(_));
            line.close(if is_online { CloseCode::HeartbeatTimeout } else { CloseCode::AuthTimeout }, None);
        }
        if let Some(code) = orders.close {
            line.close(code, None);
        }
        if let Some(after_ms) = orders.drain_after_ms {
            // Nothing can be said to it, so it is its end that is spread over time.
            line.peer.shorten_deadline(line.now_ms + after_ms.max(0).unsigned_abs());
        }
    }

    // === in ===

    pub fn is_paused(&self, line: &Line) -> bool {
        match &self.state {
            State::Authenticating(_) => true,
            State::Online(online) => online.errands.are_too_many(line.config()),
            State::Connecting { .. } | State::Ended => false,
        }
    }

    pub fn is_logging_in(&self) -> bool {
        matches!(self.state, State::Authenticating(_))
    }

    pub fn hear(&mut self, line: &mut Line) -> Heard {
        match self.wire.next(&mut line.unread) {
            Ok(None) => return Heard::Nothing,
            Ok(Some(Inbound::Upgraded(upgrade))) => {
                line.peer.keep(upgrade.response);
                self.state = State::Connecting { cookie: upgrade.cookie };
            }
            Ok(Some(Inbound::Ping(payload))) => line.peer.keep(server_frame(Opcode::Pong, &payload)),
            Ok(Some(Inbound::Pong)) => {}
            Ok(Some(Inbound::Close)) => line.close(CloseCode::Normal, None),
            Ok(Some(Inbound::Frame(frame))) => return self.frame(line, frame),
            Err(code) => line.close(code, None),
        }
        Heard::Something
    }

    fn frame(&mut self, line: &mut Line, frame: Frame) -> Heard {
        match &mut self.state {
            State::Connecting { cookie } if frame.op == Op(7) => {
                let cookie = std::mem::take(cookie);
                match Whose::of(&frame.body) {
                    Whose::Skein if self.may_be_skein => return Heard::Skein(frame),
                    Whose::Nobody if self.may_be_skein => line.close(CloseCode::AuthFailed, None),
                    // Also what it cannot be: refusing it is Logic's business.
                    _ => self.state = State::Authenticating(LogIn::start(line, frame, cookie)),
                }
            }
            State::Online(online) => online.frame(line, &frame),
            State::Connecting { .. } | State::Authenticating(_) | State::Ended => {}
        }
        line.hub().meters.frames_in.increment(1);
        Heard::Something
    }

    // === work ===

    /// Whether anything was finished.
    pub fn poll_work(&mut self, line: &mut Line, cx: &mut Context<'_>) -> bool {
        match &mut self.state {
            State::Online(online) => online.errands.poll(cx),
            State::Authenticating(log_in) => match log_in.poll(cx) {
                Poll::Ready(outcome) => {
                    self.logged_in(line, outcome);
                    true
                }
                Poll::Pending => false,
            },
            State::Connecting { .. } | State::Ended => false,
        }
    }

    fn logged_in(&mut self, line: &mut Line, outcome: Result<log_in::LoggedIn, Error>) {
        let (request, entry) = match outcome {
            Ok(log_in::LoggedIn { request, entry }) => (request, entry),
            Err(error) => {
                line.hub().meters.auth_failures.increment(1);
                tracing::debug!(conn = line.peer.generation.0, code = error.code.as_str(), "guest refused");
                return line.close(CloseCode::AuthFailed, None);
            }
        };
        let log_in::Entry { registered, guest, heartbeat_ms, replaced, since_ms } = entry;
        let hub = line.shared.hub.clone();
        line.peer.set_deadline(Some(line.now_ms + heartbeat_ms));
        // First in the queue, before a push can be.
        send(line, &goim::auth_reply(&request));
        let room = guest.room.clone();
        let is_newest = hub.guests.enter(guest, &line.peer, line.address, since_ms);
        if let Some(older) = replaced {
            hub.guests.close(&older);
        }
        self.state = State::Online(Box::new(Online { registered, room, heartbeat_ms, errands: Errands::new(line.shared.clone()) }));
        if !is_newest {
            line.close(CloseCode::Replaced, None);
        }
        if line.shared.is_draining() {
            line.peer.shorten_deadline(line.now_ms);
        }
    }
}

impl Online {
    fn frame(&mut self, line: &mut Line, frame: &Frame) {
        let (hub, guest) = (line.hub(), self.registered.guest());
        match Asked::of(frame) {
            // A node that leaves holds nobody.
            Asked::Heartbeat if line.shared.is_draining() => {}
            Asked::Heartbeat => line.peer.set_deadline(Some(line.now_ms + self.heartbeat_ms)),
            Asked::ChangeRoom(name) => self.change_room(line, &name),
            Asked::Subscribe(operations) => hub.guests.accept(guest, &operations),
            Asked::Unsubscribe(operations) => hub.guests.refuse(guest, &operations),
            Asked::Message => {
                let (operation, body) = (frame.op.0, frame.body.to_vec());
                self.errands.add(GuestCommand::Receive { mid: self.registered.mid(), operation, body }, frame.encoded_len());
            }
        }
        let online = self.room.as_ref().map_or(0, |room| line.hub().index.rooms.count(room));
        send(line, &goim::reply(frame, i32::try_from(online).unwrap_or(i32::MAX)));
    }

    /// What cannot be the name of a room changes nothing.
    fn change_room(&mut self, line: &Line, name: &[u8]) {
        let room = match std::str::from_utf8(name).map(RoomName::parse) {
            Ok(Ok(room)) => Some(room),
            _ if name.is_empty() => None,
            _ => return,
        };
        let guest = self.registered.guest();
        line.hub().guests.change_room(guest, room.as_ref());
        let (node, mid, guest) = (line.hub().node.clone(), self.registered.mid(), guest.clone());
        self.room.clone_from(&room);
        self.errands.add(GuestCommand::Move { node, mid, guest, room }, name.len());
    }
}

impl Drop for Online {
    fn drop(&mut self) {
        self.registered.ends_behind(self.errands.take_under_way());
    }
}

/// On TCP a reply of op 9 has no bytes.
fn send(line: &Line, frame: &Frame) {
    let bytes = match line.transport() {
        Transport::Tcp => goim::on_tcp(frame),
        Transport::WebSocket => server_frame(Opcode::Binary, &frame.encode()),
    };
    if !bytes.is_empty() {
        line.peer.keep(bytes);
    }
}
