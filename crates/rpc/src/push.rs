//! `skein.push.v1.Push`: the push API over gRPC, with the same keys and the same outcomes as over HTTP.
//!
//! **Bound:** 1 MiB a request, read once the key is proved ([`keyed`](crate::keyed)); messages, receivers and pushes as the
//! domain bounds them; each call has the door's deadline.

use crate::keyed::{Asker, Keyed, asker};
use crate::peer::deadline;
use crate::status::failure;
use async_trait::async_trait;
use proto::push_server::{Push as PushRpc, PushServer};
use proto::{
    CountRoomsReply, CountRoomsRequest, CountTotalReply, CountTotalRequest, GetReceiptRequest, ListNodesReply, ListNodesRequest, Node,
    Outcome, PushBatchReply, PushBatchRequest, PushRequest, Pushed, Receipt, Refused, RoomCount, Stored,
};
use skein_domain::door::Logic;
use skein_domain::id::{IdempotencyKey, Millis, Uid};
use skein_domain::live::{
    self, Audience, GuestKey, LiveMessage, Mid, PushCommand, PushOutcome, PushReply, PushState, PushTarget, RECEIVERS_MAX, REQUESTS_MAX,
    RoomName,
};
use skein_domain::{Code, Error, Result};
use std::sync::Arc;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status};

mod proto {
    #![allow(clippy::all)]
    tonic::include_proto!("skein.push.v1");
}

const REQUEST_BYTES_MAX: usize = 1024 * 1024;
const TOP_DEFAULT: u32 = 20;
const TOP_MAX: u32 = 1_000;

pub fn push_service(logic: Arc<dyn Logic>) -> Keyed<PushServer<impl PushRpc>> {
    let served = PushServer::new(Served(logic.clone()));
    Keyed::new(served.accept_compressed(CompressionEncoding::Gzip).max_decoding_message_size(REQUEST_BYTES_MAX), logic)
}

struct Served(Arc<dyn Logic>);

#[async_trait]
impl PushRpc for Served {
    async fn push(&self, request: Request<PushRequest>) -> Result<Response<Pushed>, Status> {
        let asker = asker(&request)?;
        let wanted = request.into_inner().try_into().map_err(failure)?;
        match self.push_all(asker, vec![wanted]).await?.pop() {
            Some(PushOutcome::Accepted { push, stored, would_reach, repeated }) => {
                Ok(Response::new(pushed(push, stored, would_reach, repeated)))
            }
            Some(PushOutcome::Refused { error }) => Err(failure(error)),
            None => Err(unexpected_reply()),
        }
    }

    async fn push_batch(&self, request: Request<PushBatchRequest>) -> Result<Response<PushBatchReply>, Status> {
        let asker = asker(&request)?;
        let pushes = request.into_inner().pushes;
        if !(1..=REQUESTS_MAX).contains(&pushes.len()) {
            return Err(failure(bad(format!("a batch has 1 to {REQUESTS_MAX} pushes"))));
        }
        let read: Vec<Result<live::PushRequest>> = pushes.into_iter().map(TryInto::try_into).collect();
        let sound: Vec<live::PushRequest> = read.iter().filter_map(|request| request.as_ref().ok().cloned()).collect();
        let outcomes = if sound.is_empty() { Vec::new() } else { self.push_all(asker, sound).await? };
        let mut outcomes = outcomes.into_iter();
        let outcomes = read.into_iter().map(|request| match request {
            Ok(_) => outcomes.next().map_or_else(|| refused(Error::internal()), outcome),
            Err(error) => refused(error),
        });
        Ok(Response::new(PushBatchReply { outcomes: outcomes.collect() }))
    }

    async fn get_receipt(&self, request: Request<GetReceiptRequest>) -> Result<Response<Receipt>, Status> {
        let asker = asker(&request)?;
        match self.ask(asker, PushCommand::Receipt { push: request.into_inner().push_id }).await? {
            PushReply::Receipt { receipt } => Ok(Response::new(receipt.into())),
            _ => Err(unexpected_reply()),
        }
    }

    async fn count_rooms(&self, request: Request<CountRoomsRequest>) -> Result<Response<CountRoomsReply>, Status> {
        let asker = asker(&request)?;
        let CountRoomsRequest { rooms, prefix, limit } = request.into_inner();
        let command = match (rooms.len(), limit) {
            (0, 0) => PushCommand::Top { prefix, limit: TOP_DEFAULT },
            (0, 1..=TOP_MAX) => PushCommand::Top { prefix, limit },
            (1..=RECEIVERS_MAX, 0) if prefix.is_empty() => {
                let rooms = rooms.iter().map(|room| RoomName::parse(room)).collect::<Result<_>>().map_err(failure)?;
                PushCommand::Rooms { rooms }
            }
            _ => return Err(failure(bad("name 1 to 1,000 rooms, or a prefix and a limit of 1 to 1,000"))),
        };
        match self.ask(asker, command).await? {
            PushReply::Counts { rooms } => {
                let count = |(room, online): (RoomName, u32)| RoomCount { room: room.as_str().to_owned(), online };
                Ok(Response::new(CountRoomsReply { rooms: rooms.into_iter().map(count).collect() }))
            }
            _ => Err(unexpected_reply()),
        }
    }

    async fn list_nodes(&self, request: Request<ListNodesRequest>) -> Result<Response<ListNodesReply>, Status> {
        match self.ask(asker(&request)?, PushCommand::Instances).await? {
            PushReply::Nodes { nodes } => Ok(Response::new(ListNodesReply { nodes: nodes.into_iter().map(Node::from).collect() })),
            _ => Err(unexpected_reply()),
        }
    }

    async fn count_total(&self, request: Request<CountTotalRequest>) -> Result<Response<CountTotalReply>, Status> {
        match self.ask(asker(&request)?, PushCommand::Total).await? {
            PushReply::Total { connections, addresses } => Ok(Response::new(CountTotalReply { connections, addresses })),
            _ => Err(unexpected_reply()),
        }
    }
}

impl Served {
    async fn ask(&self, asker: Asker, command: PushCommand) -> Result<PushReply, Status> {
        let late = match command {
            PushCommand::Push { .. } => Error::new(Code::RetrySameKey, "the outcome is unknown: push again with the same idempotency key"),
            _ => Error::new(Code::Timeout, "the answer took too long"),
        };
        let asked = self.0.push(asker.pusher, asker.from, command);
        tokio::time::timeout(deadline(), asked).await.unwrap_or(Err(late)).map_err(failure)
    }

    async fn push_all(&self, asker: Asker, requests: Vec<live::PushRequest>) -> Result<Vec<PushOutcome>, Status> {
        let count = requests.len();
        match self.ask(asker, PushCommand::Push { requests }).await? {
            PushReply::Pushed { outcomes } if outcomes.len() == count => Ok(outcomes),
            _ => Err(unexpected_reply()),
        }
    }
}

impl TryFrom<PushRequest> for live::PushRequest {
    type Error = Error;

    fn try_from(request: PushRequest) -> Result<Self> {
        let PushRequest { to, operation, body, durable, idempotency_key, not_before, ttl_ms, dry_run, priority } = request;
        let needs_key = durable || not_before > 0;
        let key = match idempotency_key.as_str() {
            "" if needs_key => Some(IdempotencyKey::parse(&uuid::Uuid::now_v7().simple().to_string())?),
            "" => None,
            named => Some(IdempotencyKey::parse(named)?),
        };
        Ok(Self {
            target: target(to)?,
            message: LiveMessage::of_business(operation, body.into())?,
            durable,
            key,
            not_before: (not_before > 0).then_some(Millis(not_before)),
            ttl_ms: (ttl_ms != 0).then_some(ttl_ms),
            priority: match proto::Priority::try_from(priority) {
                Ok(proto::Priority::Normal) => live::Priority::Normal,
                Ok(proto::Priority::Urgent) => live::Priority::Urgent,
                Err(_) => return Err(bad("a priority is NORMAL or URGENT")),
            },
            dry_run,
        })
    }
}

fn target(to: Option<proto::push_request::To>) -> Result<PushTarget> {
    use proto::push_request::To;
    let target = match to {
        Some(To::Users(users)) => PushTarget::Uids(users.uids.into_iter().map(Uid).collect()),
        Some(To::Room(room)) => PushTarget::Room(RoomName::parse(&room)?),
        Some(To::All(all)) => {
            PushTarget::All(Audience { platforms: all.platforms, tags: all.tags, speed: (all.speed > 0).then_some(all.speed) })
        }
        Some(To::Keys(keys)) => PushTarget::Keys(keys.keys.iter().map(|key| GuestKey::parse(key)).collect::<Result<_>>()?),
        Some(To::Mids(mids)) => PushTarget::Mids(mids.mids.into_iter().map(Mid).collect()),
        None => return Err(bad("a push needs one of users, room, all, keys and mids")),
    };
    target.check()?;
    Ok(target)
}

fn bad(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Code::BadRequest, message)
}

fn pushed(push_id: String, stored: Vec<live::Stored>, would_reach: Option<u64>, repeated_push: bool) -> Pushed {
    let place =
        |stored: live::Stored| Stored { uid: stored.uid.map_or(0, |uid| uid.0), conversation: stored.conversation.0, seq: stored.seq.0 };
    Pushed { push_id, stored: stored.into_iter().map(place).collect(), would_reach, repeated_push }
}

fn outcome(outcome: PushOutcome) -> Outcome {
    match outcome {
        PushOutcome::Accepted { push, stored, would_reach, repeated } => {
            Outcome { outcome: Some(proto::outcome::Outcome::Accepted(pushed(push, stored, would_reach, repeated))) }
        }
        PushOutcome::Refused { error } => refused(error),
    }
}

fn refused(error: Error) -> Outcome {
    let Error { code, message, retry_after_ms } = error;
    let refused = Refused { code: code.as_str().to_owned(), detail: message.into_owned(), retry_after_ms };
    Outcome { outcome: Some(proto::outcome::Outcome::Refused(refused)) }
}

impl From<live::Receipt> for Receipt {
    fn from(receipt: live::Receipt) -> Self {
        use proto::receipt::State;
        let state = match receipt.state {
            PushState::Scheduled => State::Scheduled,
            PushState::Waiting => State::Waiting,
            PushState::Delivered => State::Delivered,
            PushState::Expired => State::Expired,
            PushState::Failed => State::Failed,
        };
        let live::Receipt { push, at, found, queued, dropped, .. } = receipt;
        Self { push_id: push, state: state.into(), at: at.0, found, queued, dropped }
    }
}

impl From<live::LiveNode> for Node {
    fn from(node: live::LiveNode) -> Self {
        let live::LiveNode { node, tcp, websocket, weight, connections, addresses, draining, renewed_at } = node;
        Self { node: node.0, tcp, websocket, weight, connections, addresses, draining, renewed_at: renewed_at.0 }
    }
}

fn unexpected_reply() -> Status {
    tracing::error!("unexpected reply from logic");
    failure(Error::internal())
}
