//! `goim.logic.Logic`: goim's comet asks who its connections are, and tells how many are in its rooms.
//!
//! A server of goim's is a node named `goim:<server>`, so that none can pass for one of ours. Its guests are registered, and
//! counted; pushes reach them only through goim's own job.
//!
//! goim's comet refreshes a connection after 10 to 30 minutes, our leases are shorter: each `RenewOnline`, which comes every
//! 10 seconds, renews all guests of its server.

use super::proto::logic::logic_server::{Logic as LogicRpc, LogicServer};
use super::proto::logic::{
    Backoff, ConnectReply, ConnectReq, DisconnectReply, DisconnectReq, HeartbeatReply, HeartbeatReq, NodesReply, NodesReq, OnlineReply,
    OnlineReq, ReceiveReply, ReceiveReq,
};
use super::roster::Roster;
use super::{MESSAGE_BYTES_MAX, failure, in_time};
use async_trait::async_trait;
use skein_domain::door::{Logic, Origin};
use skein_domain::id::NodeId;
use skein_domain::live::{GuestCommand, GuestKey, GuestRef, GuestReply, Mid, PushCommand, PushReply, Pusher, RoomName};
use skein_domain::{Code, Error, Result};
use std::sync::Arc;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status};

const SERVER_BYTES_MAX: usize = 128;
/// Guests renewed by one call of the door.
const RENEW_MAX: usize = 1_000;
/// Share of new clients: goim's comets take part in no choice of ours.
const NO_WEIGHT: u32 = 0;

pub fn goim_logic_service(logic: Arc<dyn Logic>) -> LogicServer<impl LogicRpc> {
    LogicServer::new(Served { logic, roster: Roster::new() })
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

struct Served {
    logic: Arc<dyn Logic>,
    roster: Roster,
}

#[async_trait]
impl LogicRpc for Served {
    async fn connect(&self, request: Request<ConnectReq>) -> Result<Response<ConnectReply>, Status> {
        let address = address_of(&request);
        let ConnectReq { server, cookie, token } = request.into_inner();
        let generation = self.roster.next_generation();
        let command = GuestCommand::Connect { node: node(&server)?, generation, token: token.into(), cookie, address };
        let GuestReply::Connected { guest, heartbeat_ms, .. } = self.ask(command).await? else { return Err(unexpected_reply()) };
        let reference = GuestRef { key: guest.key.clone(), generation };
        if let Err(error) = self.roster.connected(&server, guest.mid, reference.clone()) {
            self.ask(GuestCommand::Disconnect { node: node(&server)?, mid: guest.mid, guest: reference }).await?;
            return Err(failure(error));
        }
        Ok(Response::new(ConnectReply {
            mid: guest.mid.0,
            key: guest.key.as_str().to_owned(),
            room_id: guest.room.map(|room| room.as_str().to_owned()).unwrap_or_default(),
            accepts: guest.accepts,
            heartbeat: heartbeat_ms.saturating_mul(1_000_000),
        }))
    }

    async fn disconnect(&self, request: Request<DisconnectReq>) -> Result<Response<DisconnectReply>, Status> {
        let DisconnectReq { mid, key, server } = request.into_inner();
        let ended = GuestKey::parse(&key).ok().and_then(|key| self.roster.ended(&server, &key));
        let has = ended.is_some();
        if let Some(guest) = ended {
            self.ask(GuestCommand::Disconnect { node: node(&server)?, mid: Mid(mid), guest }).await?;
        }
        Ok(Response::new(DisconnectReply { has }))
    }

    async fn heartbeat(&self, request: Request<HeartbeatReq>) -> Result<Response<HeartbeatReply>, Status> {
        let HeartbeatReq { mid, key, server } = request.into_inner();
        let (node, key) = (node(&server)?, GuestKey::parse(&key).map_err(failure)?);
        let guest = match self.roster.alive(&server, &key) {
            Some(guest) => guest,
            // It began before this process did.
            None => {
                let guest = GuestRef { key, generation: self.roster.next_generation() };
                self.roster.connected(&server, Mid(mid), guest.clone()).map_err(failure)?;
                guest
            }
        };
        self.ask(GuestCommand::Renew { node, live: vec![(Mid(mid), guest)] }).await?;
        Ok(Response::new(HeartbeatReply {}))
    }

    async fn renew_online(&self, request: Request<OnlineReq>) -> Result<Response<OnlineReply>, Status> {
        let OnlineReq { server, room_count } = request.into_inner();
        let node = node(&server)?;
        let live = self.roster.of_server(&server);
        let connections = u32::try_from(live.len()).unwrap_or(u32::MAX);
        for chunk in live.chunks(RENEW_MAX) {
            self.ask(GuestCommand::Renew { node: node.clone(), live: chunk.to_vec() }).await?;
        }
        let count =
            |(room, count): (String, i32)| Some((RoomName::parse(&room).ok()?, u32::try_from(count).ok().filter(|count| *count > 0)?));
        let rooms = room_count.into_iter().filter_map(count).collect();
        let command = GuestCommand::Online { node, rooms, connections, addresses: 0, weight: NO_WEIGHT };
        let GuestReply::Online { rooms } = self.ask(command).await? else { return Err(unexpected_reply()) };
        let rooms = rooms.into_iter().map(|(room, count)| (room.as_str().to_owned(), i32::try_from(count).unwrap_or(i32::MAX)));
        Ok(Response::new(OnlineReply { all_room_count: rooms.collect() }))
    }

    async fn receive(&self, request: Request<ReceiveReq>) -> Result<Response<ReceiveReply>, Status> {
        let ReceiveReq { mid, proto } = request.into_inner();
        let proto = proto.unwrap_or_default();
        self.ask(GuestCommand::Receive { mid: Mid(mid), operation: proto.op, body: proto.body.into() }).await?;
        Ok(Response::new(ReceiveReply {}))
    }

    async fn nodes(&self, request: Request<NodesReq>) -> Result<Response<NodesReply>, Status> {
        let NodesReq { platform, client_ip: address } = request.into_inner();
        let from = Origin { address: address.clone() };
        let asked = self.logic.push(Pusher::Open, from, PushCommand::Nodes { platform, address });
        let PushReply::Advice { advice } = in_time(asked).await? else { return Err(unexpected_reply()) };
        let hundredths = |number: u32| number as f32 / 100.0;
        let backoff = Backoff {
            max_delay: advice.backoff.max_delay,
            base_delay: advice.backoff.base_delay,
            factor: hundredths(advice.backoff.factor_hundredths),
            jitter: hundredths(advice.backoff.jitter_hundredths),
        };
        Ok(Response::new(NodesReply {
            domain: advice.domain,
            tcp_port: advice.tcp_port,
            ws_port: advice.ws_port,
            wss_port: advice.wss_port,
            heartbeat: advice.heartbeat,
            nodes: advice.nodes,
            backoff: Some(backoff),
            heartbeat_max: advice.heartbeat_max,
        }))
    }
}

impl Served {
    async fn ask(&self, command: GuestCommand) -> Result<GuestReply, Status> {
        in_time(self.logic.guest(command)).await
    }
}

fn node(server: &str) -> Result<NodeId, Status> {
    let is_plain = !server.is_empty() && server.len() <= SERVER_BYTES_MAX && !server.chars().any(char::is_control);
    if is_plain { Ok(NodeId(format!("goim:{server}"))) } else { Err(Status::unknown("a server name has 1 to 128 bytes")) }
}

fn address_of<T>(request: &Request<T>) -> String {
    request.remote_addr().map(|address| address.ip().to_string()).unwrap_or_default()
}

fn unexpected_reply() -> Status {
    tracing::error!("unexpected reply from logic");
    failure(Error::new(Code::Internal, "something went wrong on the server; the log has details"))
}
