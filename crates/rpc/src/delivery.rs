//! The Delivery door: job → comet.

use crate::envelope::{failure, outcome, pack, reply, unpack};
use crate::peer::{Demand, MESSAGE_BYTES_MAX, Peer, Present, Secret, deadline};
use crate::proto::delivery_client::DeliveryClient;
use crate::proto::delivery_server::{Delivery as DeliveryRpc, DeliveryServer};
use crate::proto::{Question, Reply};
use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use skein_domain::delivery::{Batch, Delivered};
use skein_domain::door::Delivery;
use skein_domain::id::Uid;
use skein_domain::{Code, Error, Result};
use std::sync::Arc;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// A Comet in another process. One HTTP/2 connection per pair; a broken one is built anew by the next call.
#[derive(Clone)]
pub struct RemoteDelivery {
    client: DeliveryClient<InterceptedService<Channel, Present>>,
}

impl RemoteDelivery {
    pub fn new(peer: &Peer) -> Self {
        let client = DeliveryClient::with_interceptor(peer.channel.clone(), peer.present())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        Self { client }
    }

    async fn ask<T: DeserializeOwned>(&self, kind: &str, asked: &impl Serialize) -> Result<T> {
        let question = Question { kind: kind.into(), body: pack(asked)? };
        let mut client = self.client.clone();
        match tokio::time::timeout(deadline(), client.deliver(question)).await {
            Ok(Ok(response)) => outcome(response.into_inner()),
            Ok(Err(status)) => Err(failure(status)),
            Err(_) => Err(Error::new(Code::Timeout, "the Comet did not answer in time")),
        }
    }
}

#[async_trait]
impl Delivery for RemoteDelivery {
    async fn deliver(&self, batch: Batch) -> Result<Delivered> {
        self.ask("deliver", &batch).await
    }

    async fn connections(&self, uid: Uid) -> Result<Vec<serde_json::Value>> {
        self.ask("connections", &uid).await
    }
}

/// Lets other processes reach `delivery`, with the secret only.
pub fn delivery_service(
    delivery: Arc<dyn Delivery>,
    secret: Secret,
) -> InterceptedService<DeliveryServer<impl DeliveryRpc>, impl tonic::service::Interceptor + Clone> {
    let server =
        DeliveryServer::new(Served(delivery)).max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX);
    InterceptedService::new(server, Demand(secret))
}

struct Served(Arc<dyn Delivery>);

#[async_trait]
impl DeliveryRpc for Served {
    async fn deliver(&self, request: Request<Question>) -> Result<Response<Reply>, Status> {
        let question = request.into_inner();
        let answer = match question.kind.as_str() {
            "deliver" => match unpack(&question.body) {
                Ok(batch) => reply(0, self.0.deliver(batch).await),
                Err(error) => reply(0, Err::<(), _>(error)),
            },
            "connections" => match unpack(&question.body) {
                Ok(uid) => reply(0, self.0.connections(uid).await),
                Err(error) => reply(0, Err::<(), _>(error)),
            },
            _ => reply(0, Err::<(), _>(Error::new(Code::Unsupported, "this Comet does not know that call"))),
        };
        Ok(Response::new(answer))
    }
}
