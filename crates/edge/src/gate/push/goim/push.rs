//! `POST /goim/push/…`: the query says to whom, the body is the message, whatever its media type.

use super::super::super::extract::read;
use super::super::super::{Shared, SharedState};
use super::super::ask::Asker;
use super::super::dto::Pushed;
use super::super::key;
use super::answer::{data, done, failed, refused, unbound};
use super::query::{Query, Unbound, require};
use super::{Caller, query_of};
use axum::extract::{Request, State};
use axum::response::Response;
use skein_domain::id::Millis;
use skein_domain::live::{
    Audience, GuestKey, LiveMessage, Mid, Operation, Priority, PushCommand, PushOutcome, PushRequest, PushRoute, PushTarget, RoomName,
};
use skein_domain::{Code, Error};

pub async fn keys(state: SharedState, Caller(asker): Caller, request: Request) -> Response {
    let query = query_of(&request);
    let call = match Call::read(&query) {
        Ok(call) => call,
        Err(message) => return unbound(&message),
    };
    let named: Vec<&str> = query.all("keys").collect();
    if named.is_empty() {
        // goim's own answer has no message either.
        return refused("");
    }
    // What cannot be a key is nobody's.
    let known = named.iter().filter_map(|key| GuestKey::parse(key).ok()).collect();
    call.push(&state, &asker, PushTarget::Keys(known), request).await
}

pub async fn mids(state: SharedState, Caller(asker): Caller, request: Request) -> Response {
    let query = query_of(&request);
    let read = Call::read(&query).and_then(|call| Ok((call, query.numbers::<i64>("mids")?)));
    match read {
        // Nobody is known by mid 0 or below.
        Ok((call, mids)) => {
            let known = mids.into_iter().filter(|mid| *mid > 0).map(Mid).collect();
            call.push(&state, &asker, PushTarget::Mids(known), request).await
        }
        Err(message) => unbound(&message),
    }
}

pub async fn room(state: SharedState, Caller(asker): Caller, request: Request) -> Response {
    let query = query_of(&request);
    let (kind, name) = (query.text("type"), query.text("room"));
    let read = Call::read(&query).and_then(|call| {
        require(&[("Op", call.operation != 0), ("Type", !kind.is_empty()), ("Room", !name.is_empty())])?;
        Ok(call)
    });
    match (read, RoomName::of(kind, name)) {
        (Ok(call), Ok(room)) => call.push(&state, &asker, PushTarget::Room(room), request).await,
        (Ok(_), Err(error)) => failed(error),
        (Err(message), _) => unbound(&message),
    }
}

pub async fn all(state: SharedState, Caller(asker): Caller, request: Request) -> Response {
    let query = query_of(&request);
    let read = Call::read(&query).and_then(|call| {
        let speed = query.number::<i32>("speed")?;
        require(&[("Op", call.operation != 0)])?;
        Ok((call, speed))
    });
    let (call, speed) = match read {
        Ok(read) => read,
        Err(message) => return unbound(&message),
    };
    let words = |name| query.all(name).map(str::to_owned).collect();
    let speed = u32::try_from(speed).ok().filter(|speed| *speed > 0);
    let audience = Audience { platforms: words("platform"), tags: words("tag"), speed };
    call.push(&state, &asker, PushTarget::All(audience), request).await
}

/// What all four have in common. All but `operation` is ours.
struct Call {
    operation: Operation,
    durable: bool,
    key: Option<String>,
    not_before: Option<Millis>,
    ttl_ms: Option<i64>,
    dry_run: bool,
}

impl Call {
    fn read(query: &Query) -> Result<Self, Unbound> {
        let optional = |name| query.given(name).map(|_| query.number::<i64>(name)).transpose();
        Ok(Self {
            operation: query.number("operation")?,
            durable: query.flag("durable")?,
            key: query.given("key").map(str::to_owned),
            not_before: optional("not_before")?.map(Millis),
            ttl_ms: optional("ttl_ms")?,
            dry_run: query.flag("dry_run")?,
        })
    }

    /// Whether the caller knows more than goim.
    fn is_ours(&self) -> bool {
        self.durable || self.dry_run || self.key.is_some() || self.not_before.is_some() || self.ttl_ms.is_some()
    }

    async fn push(self, state: &State<std::sync::Arc<Shared>>, asker: &Asker, to: PushTarget, request: Request) -> Response {
        let body = match read(request, state.config.body_bytes_max as usize).await {
            Ok(body) => body,
            Err(problem) => return failed(Error::new(Code::parse(problem.code.as_str()), problem.detail)),
        };
        let tells = self.is_ours();
        let outcome = match self.request(to, body.into()) {
            Ok(request) if nobody(&request.target) => authorized(state, asker).await,
            Ok(request) => asker.push_one(state, request).await.map(Some),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(Some(PushOutcome::Accepted { push, stored, would_reach, repeated })) if tells => {
                data(Pushed::new(push, stored, would_reach, repeated))
            }
            Ok(None | Some(PushOutcome::Accepted { .. })) => done(),
            Ok(Some(PushOutcome::Refused { error })) | Err(error) => failed(error),
        }
    }

    fn request(self, target: PushTarget, body: Vec<u8>) -> skein_domain::Result<PushRequest> {
        if !nobody(&target) {
            target.check()?;
        }
        Ok(PushRequest {
            target,
            message: LiveMessage::of(self.operation, body)?,
            durable: self.durable,
            key: key::idempotency_key(self.key.as_deref(), self.durable || self.not_before.is_some())?,
            not_before: self.not_before,
            ttl_ms: self.ttl_ms,
            priority: Priority::Normal,
            dry_run: self.dry_run,
        })
    }
}

fn nobody(target: &PushTarget) -> bool {
    matches!(target, PushTarget::Keys(keys) if keys.is_empty()) || matches!(target, PushTarget::Mids(mids) if mids.is_empty())
}

/// A push to nobody is done at once, for those who might have pushed.
async fn authorized(state: &Shared, asker: &Asker) -> skein_domain::Result<Option<PushOutcome>> {
    asker.ask(state, PushCommand::Authorize { route: PushRoute::Unicast }).await.map(|_| None)
}
