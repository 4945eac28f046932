//! `goim.comet.Comet`: goim's job pushes to the connections of this node.
//!
//! A push to keys or to everybody reaches a connection that accepts the operation *of the message*; goim looks at `protoOp`
//! alone, which its job always sets to the same.

use super::proto::comet::comet_server::{Comet as CometRpc, CometServer};
use super::proto::comet::{
    BroadcastReply, BroadcastReq, BroadcastRoomReply, BroadcastRoomReq, PushMsgReply, PushMsgReq, RoomsReply, RoomsReq,
};
use super::proto::protocol::Proto;
use super::{MESSAGE_BYTES_MAX, in_time};
use async_trait::async_trait;
use bytes::BytesMut;
use skein_domain::delivery::{Batch, Envelope, Push, Target};
use skein_domain::door::Delivery;
use skein_domain::live::{Audience, GuestKey, LiveMessage, RoomName};
use skein_protocol::Op;
use skein_protocol::frame::{FrameDecoder, Limits, Strictness};
use std::sync::Arc;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status};

/// Rooms with somebody in them at this node.
pub trait LiveRooms: Send + Sync + 'static {
    fn rooms(&self) -> Vec<RoomName>;
}

pub fn goim_comet_service(delivery: Arc<dyn Delivery>, rooms: Arc<dyn LiveRooms>) -> CometServer<impl CometRpc> {
    CometServer::new(Served { delivery, rooms })
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

struct Served {
    delivery: Arc<dyn Delivery>,
    rooms: Arc<dyn LiveRooms>,
}

#[async_trait]
impl CometRpc for Served {
    async fn push_msg(&self, request: Request<PushMsgReq>) -> Result<Response<PushMsgReply>, Status> {
        let PushMsgReq { keys, proto, .. } = request.into_inner();
        let proto = proto.filter(|_| !keys.is_empty()).ok_or_else(|| Status::unknown("rpc pushmsg arg error"))?;
        // What cannot be a key is nobody's.
        let keys: Vec<GuestKey> = keys.iter().filter_map(|key| GuestKey::parse(key).ok()).collect();
        self.deliver_each(Target::Guests(keys), messages(proto)?).await?;
        Ok(Response::new(PushMsgReply {}))
    }

    async fn broadcast(&self, request: Request<BroadcastReq>) -> Result<Response<BroadcastReply>, Status> {
        let BroadcastReq { proto, speed, .. } = request.into_inner();
        let proto = proto.ok_or_else(|| Status::unknown("rpc broadcast arg error"))?;
        let speed = u32::try_from(speed).ok().filter(|speed| *speed > 0);
        self.deliver_each(Target::Audience(Audience { speed, ..Audience::default() }), messages(proto)?).await?;
        Ok(Response::new(BroadcastReply {}))
    }

    async fn broadcast_room(&self, request: Request<BroadcastRoomReq>) -> Result<Response<BroadcastRoomReply>, Status> {
        let BroadcastRoomReq { room_id, proto } = request.into_inner();
        let proto = proto.filter(|_| !room_id.is_empty()).ok_or_else(|| Status::unknown("rpc broadcast  room arg error"))?;
        let room = RoomName::parse(&room_id).map_err(super::failure)?;
        let push = Push::Live { room: Some(room.clone()), messages: messages(proto)? };
        self.deliver(vec![Envelope { target: Target::LiveRoom(room), push }]).await?;
        Ok(Response::new(BroadcastRoomReply {}))
    }

    async fn rooms(&self, _: Request<RoomsReq>) -> Result<Response<RoomsReply>, Status> {
        let rooms = self.rooms.rooms().into_iter().map(|room| (room.as_str().to_owned(), true));
        Ok(Response::new(RoomsReply { rooms: rooms.collect() }))
    }
}

impl Served {
    /// One envelope a message: each has an operation of its own, by which its receivers are chosen.
    async fn deliver_each(&self, target: Target, messages: Vec<LiveMessage>) -> Result<(), Status> {
        let envelope = |message| Envelope { target: target.clone(), push: Push::Live { room: None, messages: vec![message] } };
        self.deliver(messages.into_iter().map(envelope).collect()).await
    }

    async fn deliver(&self, envelopes: Vec<Envelope>) -> Result<(), Status> {
        let batch = Batch { origin: None, envelopes, controls: Vec::new(), trace: None };
        in_time(self.delivery.deliver(batch)).await?;
        Ok(())
    }
}

/// The messages in goim's container (op 9), or the one message of another op.
fn messages(proto: Proto) -> Result<Vec<LiveMessage>, Status> {
    if proto.op != Op::GOIM_RAW.0 {
        return Ok(vec![LiveMessage { operation: proto.op, body: proto.body.into() }]);
    }
    let decoder = FrameDecoder::new(Limits { body_bytes_max: MESSAGE_BYTES_MAX }, Strictness::Goim);
    let mut rest = BytesMut::from(proto.body);
    let mut messages = Vec::new();
    while let Some(frame) = decoder.decode(&mut rest).map_err(|error| Status::unknown(error.to_string()))? {
        messages.push(LiveMessage { operation: frame.op.0, body: frame.body.into() });
    }
    if rest.is_empty() { Ok(messages) } else { Err(Status::unknown("the container ends inside a frame")) }
}
