//! What a connection may say when: a state machine without IO.
//!
//! connecting → authenticating → online → draining → closed. It turns what was decoded into [`Ask`]s, counts what is in
//! flight, and keeps the rate. Doing what is asked is the connection's.
//!
//! **Invariant:** an illegal move is refused and changes nothing. Before `online` no command leaves here.
//!
//! **Bound:** at `in_flight_commands_max` commands or `in_flight_bytes_max` bytes without a reply [`Session::is_paused`] is
//! true and the connection stops reading. Beyond the rate a command is answered `rate_limited`.

use super::Config;
use super::convert::{self, Asked};
use super::wire::{Form, Transport, Variant};
use skein_domain::command::Command;
use skein_domain::door::{Caller, Credential};
use skein_domain::live::{Operation, RoomName};
use skein_domain::{Code, Error};
use skein_protocol::frame::Frame;
use skein_protocol::{CloseCode, Codec, DecodeError, Envelope, ErrorCode, MAJOR, Op, Reply, Request, v1};

/// Longer names of clients are cut.
const CLIENT_CHARS_MAX: usize = 64;
/// Operations of pushes to all that a connection may name.
const OPERATIONS_MAX: usize = 128;
/// Longer secrets are not asked about.
const SECRET_BYTES_MAX: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody has said who this is.
    Connecting,
    /// A credential is being judged.
    Authenticating,
    Online,
    /// The node leaves: what is in flight is finished, nothing new begins.
    Draining,
    Closed,
}

impl State {
    fn may_become(self, next: State) -> bool {
        use State::*;
        matches!(
            (self, next),
            (Connecting, Authenticating)
                | (Authenticating, Online)
                | (Online, Draining)
                | (Connecting | Authenticating | Online | Draining, Closed)
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session does not go from {from:?} to {to:?}")]
pub(super) struct IllegalMove {
    from: State,
    to: State,
}

/// Where the reply to a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Return {
    pub op: Op,
    pub seq: i32,
    pub form: Form,
}

/// What else a command means for the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    /// The reply is a page of sync.
    Sync,
    /// The room directory, which this connection watches from now on, or no more.
    Watch(bool),
    /// If Logic lets it: pushes of the room from then on.
    JoinLive {
        room: RoomName,
        presence: bool,
    },
    /// No pushes of the room from now on.
    LeaveLive(RoomName),
}

/// What a message asks of the connection.
pub(super) enum Ask {
    Reply(Return, Reply),
    /// As [`Ask::Reply`]: the command is over the rate.
    Limit(Return, Reply),
    /// A last reply, then the end.
    Refuse(Return, Reply, CloseCode),
    /// The end: the message cannot be answered.
    Close(CloseCode),
    Connect {
        credential: Credential,
        client: String,
        to: Return,
    },
    /// Of pushes to all the connection wants these, and no more those it named before.
    Accept {
        operations: Vec<Operation>,
        to: Return,
    },
    Call {
        command: Command,
        to: Return,
        then: Then,
        bytes: usize,
    },
}

pub(super) struct Session {
    state: State,
    /// Of binary bodies, chosen at log-in.
    codec: Codec,
    deflate: bool,
    /// Set at log-in. Boxed: most of a connection's life it is only carried.
    caller: Option<Box<Caller>>,
    in_flight: u32,
    in_flight_bytes: usize,
    bucket: Bucket,
}

impl Session {
    pub fn new(config: &Config) -> Self {
        Self {
            state: State::Connecting,
            codec: Codec::default(),
            deflate: false,
            caller: None,
            in_flight: 0,
            in_flight_bytes: 0,
            bucket: Bucket { tokens: config.commands_burst as f32, at_ms: 0 },
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    pub fn caller(&self) -> Option<&Caller> {
        self.caller.as_deref()
    }

    fn go(&mut self, to: State) -> Result<(), IllegalMove> {
        if !self.state.may_become(to) {
            return Err(IllegalMove { from: self.state, to });
        }
        self.state = to;
        Ok(())
    }

    /// A credential came with the upgrade request.
    pub fn presented(&mut self) -> Result<(), IllegalMove> {
        self.go(State::Authenticating)
    }

    pub fn logged_in(&mut self, caller: Caller) -> Result<(), IllegalMove> {
        self.go(State::Online)?;
        self.caller = Some(Box::new(caller));
        Ok(())
    }

    pub fn drain(&mut self) -> Result<(), IllegalMove> {
        self.go(State::Draining)
    }

    pub fn close(&mut self) -> Result<(), IllegalMove> {
        self.go(State::Closed)
    }

    /// Whether reading waits: for the judgement of a credential, or for replies.
    pub fn is_paused(&self, config: &Config) -> bool {
        self.state == State::Authenticating
            || self.in_flight >= config.in_flight_commands_max
            || self.in_flight_bytes >= config.in_flight_bytes_max as usize
    }

    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// A command of so many bytes has its reply.
    pub fn answered(&mut self, bytes: usize) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(bytes);
    }

    /// How a reply looks. `hello` is never deflated.
    pub fn variant(&self, transport: Transport, form: Form) -> Variant {
        Variant { transport, form, deflate: self.deflate && form != Form::Text }
    }

    // === what the peer says ===

    pub fn frame(&mut self, frame: &Frame, now_ms: u64, config: &Config) -> Ask {
        let is_auth = frame.op == Op::AUTH;
        let codec = if is_auth && self.state == State::Connecting { Codec::of_auth_body(&frame.body) } else { self.codec };
        let to = Return { op: frame.op, seq: frame.seq, form: Form::Frame(codec) };
        match Request::decode(frame.op, codec, &frame.body) {
            Ok(request) => self.request(request, to, frame.encoded_len(), now_ms, config),
            Err(error) => self.misunderstood(to, &error),
        }
    }

    pub fn text(&mut self, text: &[u8], now_ms: u64, config: &Config) -> Ask {
        let nowhere = Return { op: Op::ERROR, seq: 0, form: Form::Text };
        let envelope = match Envelope::parse(text) {
            Ok(envelope) => envelope,
            Err(error) => return self.misunderstood(nowhere, &error),
        };
        let to = Return { seq: envelope.seq, ..nowhere };
        match envelope.request() {
            Ok(request) => {
                let to = Return { op: request.op(), ..to };
                self.request(request, to, text.len(), now_ms, config)
            }
            Err(error) => self.misunderstood(to, &error),
        }
    }

    fn misunderstood(&self, to: Return, error: &DecodeError) -> Ask {
        let reply = Reply::Error(v1::Error::new(error.code(), error.to_string()));
        match self.state {
            State::Connecting | State::Authenticating => Ask::Refuse(to, reply, CloseCode::AuthFailed),
            State::Online | State::Draining | State::Closed => Ask::Reply(to, reply),
        }
    }

    fn request(&mut self, request: Request, to: Return, bytes: usize, now_ms: u64, config: &Config) -> Ask {
        if matches!(request, Request::Heartbeat(_)) {
            let beat = v1::HeartbeatReply { server_time_ms: super::ticks::unix_ms() };
            return Ask::Reply(to, Reply::HeartbeatReply(beat));
        }
        match (self.state, &request) {
            (State::Connecting, Request::Auth(_)) => {}
            (State::Online, _) => {}
            (State::Connecting | State::Authenticating, _) => {
                return Ask::Refuse(to, refusal(ErrorCode::Unauthorized, "log in first"), CloseCode::AuthFailed);
            }
            (State::Draining, _) => return Ask::Reply(to, refusal(ErrorCode::Draining, "this node is going away")),
            (State::Closed, _) => return Ask::Close(CloseCode::Normal),
        }
        if let Request::Auth(auth) = request {
            return self.auth(auth, to);
        }
        if let Err(wait_ms) = self.bucket.take(now_ms, config) {
            let mut error = v1::Error::new(ErrorCode::RateLimited, "too many requests on this connection");
            error.retry_after_ms = wait_ms;
            return Ask::Limit(to, Reply::Error(error));
        }
        if let Request::AcceptOperations(ask) = request {
            return accept(ask.operations, to);
        }
        self.command(request, to, bytes)
    }

    fn auth(&mut self, auth: v1::Auth, to: Return) -> Ask {
        if self.state == State::Online {
            return Ask::Reply(to, refusal(ErrorCode::BadRequest, "this connection is logged in already"));
        }
        if auth.major != MAJOR {
            let reply = refusal(ErrorCode::UnsupportedVersion, "this server speaks major version 1");
            return Ask::Refuse(to, reply, CloseCode::UnsupportedVersion);
        }
        let Some(codec) = Codec::from_name(&auth.codec) else {
            return Ask::Refuse(to, refusal(ErrorCode::BadRequest, "codec is protobuf or json"), CloseCode::AuthFailed);
        };
        let credential = match (auth.token, auth.ticket) {
            (token, ticket) if ticket.is_empty() && is_plausible(&token) => Credential::Token(token),
            (token, ticket) if token.is_empty() && is_plausible(&ticket) => Credential::Ticket(ticket),
            _ => {
                let reply = refusal(ErrorCode::Unauthorized, "exactly one of token and ticket logs in");
                return Ask::Refuse(to, reply, CloseCode::AuthFailed);
            }
        };
        if let Err(refused) = self.presented() {
            tracing::error!(%refused, "illegal move");
            return Ask::Close(CloseCode::Internal);
        }
        self.codec = codec;
        self.deflate = auth.deflate;
        let form = if to.form == Form::Text { Form::Text } else { Form::Frame(codec) };
        Ask::Connect { credential, client: cut(&auth.client), to: Return { form, ..to } }
    }

    fn command(&mut self, request: Request, to: Return, bytes: usize) -> Ask {
        let Some(me) = self.caller.as_ref().map(|caller| caller.uid) else {
            return Ask::Close(CloseCode::Internal);
        };
        let (command, then) = match convert::command(request, me) {
            Ok(Asked::Command(command @ Command::Sync { .. })) => (command, Then::Sync),
            Ok(Asked::Command(command)) => {
                let then = of_live(&command);
                (command, then)
            }
            Ok(Asked::ListRooms { command, watch }) => (command, Then::Watch(watch)),
            Ok(Asked::OfTheConnection) => return Ask::Close(CloseCode::Internal),
            Err(error) => return Ask::Reply(to, Reply::Error(convert::error(error, ""))),
        };
        self.in_flight += 1;
        self.in_flight_bytes += bytes;
        Ask::Call { command, to, then, bytes }
    }
}

fn accept(operations: Vec<Operation>, to: Return) -> Ask {
    if operations.len() > OPERATIONS_MAX {
        return Ask::Reply(to, refusal(ErrorCode::BadRequest, "a connection accepts at most 128 operations"));
    }
    Ask::Accept { operations, to }
}

fn of_live(command: &Command) -> Then {
    match command {
        Command::JoinLive { room, presence } => Then::JoinLive { room: room.clone(), presence: *presence },
        Command::LeaveLive { room } => Then::LeaveLive(room.clone()),
        _ => Then::Nothing,
    }
}

fn refusal(code: ErrorCode, message: &str) -> Reply {
    Reply::Error(v1::Error::new(code, message))
}

pub(super) fn is_plausible(secret: &str) -> bool {
    (1..=SECRET_BYTES_MAX).contains(&secret.len()) && secret.bytes().all(|b| b.is_ascii_graphic())
}

pub(super) fn cut(client: &str) -> String {
    client.chars().filter(|c| !c.is_control()).take(CLIENT_CHARS_MAX).collect()
}

/// Which close a refused log-in ends with. Only a verdict stops a client; trouble of ours lets it come back.
pub(super) fn close_of_refusal(error: &Error) -> CloseCode {
    match error.code {
        Code::Disabled => CloseCode::Disabled,
        Code::Draining => CloseCode::GoingAway,
        Code::Unavailable | Code::Busy | Code::Timeout | Code::RetrySameKey | Code::StorageFull | Code::Internal | Code::NoServer => {
            CloseCode::Internal
        }
        Code::RateLimited => CloseCode::GoingAway,
        _ => CloseCode::AuthFailed,
    }
}

/// Token bucket: `commands_burst` at once, `commands_per_second` in the long run.
struct Bucket {
    tokens: f32,
    at_ms: u64,
}

impl Bucket {
    /// `Err`: milliseconds until there is one again.
    fn take(&mut self, now_ms: u64, config: &Config) -> Result<(), i64> {
        let per_ms = config.commands_per_second as f32 / 1_000.0;
        let gained = now_ms.saturating_sub(self.at_ms) as f32 * per_ms;
        self.tokens = (self.tokens + gained).min(config.commands_burst as f32);
        self.at_ms = now_ms;
        if self.tokens < 1.0 {
            return Err(((1.0 - self.tokens) / per_ms).ceil() as i64);
        }
        self.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_domain::account::DeviceClass;
    use skein_domain::id::{SessionId, Uid};

    const STATES: [State; 5] = [State::Connecting, State::Authenticating, State::Online, State::Draining, State::Closed];

    fn session_in(state: State) -> Session {
        Session { state, caller: Some(Box::new(caller())), ..Session::new(&Config::default()) }
    }

    fn caller() -> Caller {
        Caller { uid: Uid(1), session: SessionId(2), class: DeviceClass::Cli, connection: None, address: String::new(), trace: None }
    }

    fn frame(request: Request) -> Frame {
        Frame::request(&request, 7, Codec::Protobuf).unwrap()
    }

    fn auth(token: &str) -> v1::Auth {
        v1::Auth { token: token.into(), major: 1, ..Default::default() }
    }

    #[test]
    fn every_illegal_move_is_refused_and_changes_nothing() {
        use State::*;
        let legal = [
            (Connecting, Authenticating),
            (Authenticating, Online),
            (Online, Draining),
            (Connecting, Closed),
            (Authenticating, Closed),
            (Online, Closed),
            (Draining, Closed),
        ];
        for from in STATES {
            for to in STATES {
                let mut session = session_in(from);
                let moved = match to {
                    Connecting => session.go(Connecting),
                    Authenticating => session.presented(),
                    Online => session.logged_in(caller()),
                    Draining => session.drain(),
                    Closed => session.close(),
                };
                let is_legal = legal.contains(&(from, to));
                assert_eq!(moved.is_ok(), is_legal, "{from:?} to {to:?}");
                assert_eq!(session.state(), if is_legal { to } else { from });
            }
        }
    }

    #[test]
    fn before_log_in_only_auth_and_heartbeat_are_heard() {
        let config = Config::default();
        for (state, wanted) in [(State::Connecting, true), (State::Online, false), (State::Draining, false)] {
            let mut session = session_in(state);
            assert!(matches!(session.frame(&frame(Request::Heartbeat(v1::Heartbeat {})), 0, &config), Ask::Reply(..)));
            let refused =
                matches!(session.frame(&frame(Request::Sync(v1::Sync::default())), 0, &config), Ask::Refuse(_, _, CloseCode::AuthFailed));
            assert_eq!(refused, wanted, "{state:?}");
        }
    }

    #[test]
    fn a_log_in_is_refused_with_the_close_that_fits() {
        let config = Config::default();
        let refused = |auth: v1::Auth| match Session::new(&config).frame(&frame(Request::Auth(auth)), 0, &config) {
            Ask::Refuse(_, Reply::Error(error), close) => Some((error.code, close)),
            _ => None,
        };
        assert_eq!(refused(auth("t")), None);
        assert_eq!(refused(auth("")), Some(("unauthorized".into(), CloseCode::AuthFailed)));
        assert_eq!(refused(v1::Auth { ticket: "x".into(), ..auth("t") }), Some(("unauthorized".into(), CloseCode::AuthFailed)));
        assert_eq!(refused(auth(&"x".repeat(300))), Some(("unauthorized".into(), CloseCode::AuthFailed)));
        assert_eq!(refused(v1::Auth { major: 2, ..auth("t") }), Some(("unsupported_version".into(), CloseCode::UnsupportedVersion)));
        assert_eq!(refused(v1::Auth { codec: "xml".into(), ..auth("t") }), Some(("bad_request".into(), CloseCode::AuthFailed)));
    }

    #[test]
    fn the_sixty_fifth_command_waits_and_so_do_256_kib() {
        let config = Config::default();
        let mut session = session_in(State::Online);
        let sync = frame(Request::Sync(v1::Sync::default()));
        for _ in 0..64 {
            assert!(!session.is_paused(&config));
            assert!(matches!(session.frame(&sync, 0, &config), Ask::Call { .. }));
        }
        assert!(session.is_paused(&config));
        session.answered(sync.encoded_len());
        assert!(!session.is_paused(&config));

        let mut session = session_in(State::Online);
        let big = frame(Request::Sync(v1::Sync { cursor: "x".repeat(60_000) }));
        for _ in 0..5 {
            assert!(!session.is_paused(&config));
            session.frame(&big, 0, &config);
        }
        assert!(session.is_paused(&config));
    }

    #[test]
    fn over_the_rate_a_command_is_answered_with_the_time_to_wait() {
        let config = Config { commands_per_second: 10, commands_burst: 2, ..Config::default() };
        let mut session = session_in(State::Online);
        session.bucket.tokens = 2.0;
        let typing = frame(Request::Typing(v1::Typing { conversation: 1 }));
        let mut limited = |now_ms| match session.frame(&typing, now_ms, &config) {
            Ask::Limit(_, Reply::Error(error)) => Some((error.code, error.retry_after_ms)),
            _ => None,
        };
        assert_eq!((limited(0), limited(0)), (None, None));
        assert_eq!(limited(0), Some(("rate_limited".into(), 100)));
        assert_eq!(limited(100), None);
    }

    #[test]
    fn an_unknown_op_is_answered_and_a_broken_body_too() {
        let config = Config::default();
        let mut session = session_in(State::Online);
        let mut code = |frame: Frame| match session.frame(&frame, 0, &config) {
            Ask::Reply(to, Reply::Error(error)) => (to.seq, error.code),
            _ => (0, String::new()),
        };
        assert_eq!(code(Frame::new(Op(999), 5, Default::default())), (5, "unsupported".into()));
        assert_eq!(code(Frame::new(Op::SYNC, 6, bytes::Bytes::from_static(&[0xff]))), (6, "bad_request".into()));
    }
}
