//! What goes out: messages of the outbox, until each is stored or refused for good.

use skein_protocol::{ErrorCode, Request, v1};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Done, Session, Stored, Told, answer, expect, now_ms};
use crate::connection::Connection;
use crate::error::Error;
use crate::event::Event;
use crate::outbox::{Attempt, Verdict, WAITING_MAX};
use crate::store::Settled;

impl Session {
    /// On disk first, then on its way.
    pub(super) async fn on_send(&mut self, send: v1::Send, told: Told<Stored>) {
        let outcome = self.enqueue(send).await;
        answer(told, outcome);
    }

    async fn enqueue(&mut self, send: v1::Send) -> Result<Stored, Error> {
        if self.account.is_none() {
            return Err(Error::NotLoggedIn);
        }
        if self.outbox.len() >= WAITING_MAX {
            return Err(Error::OutboxFull);
        }
        self.store.enqueue(&send, now_ms()).await?;
        let (waiter, stored) = oneshot::channel();
        self.waiters.insert(send.key.clone(), waiter);
        let conversation = send.conversation;
        self.outbox.push(send);
        self.tell(Event::ConversationChanged(conversation));
        Ok(stored)
    }

    pub(super) async fn retry(&mut self, key: &str) -> Result<bool, Error> {
        let Some(send) = self.store.retry(key, now_ms()).await? else {
            return Ok(false);
        };
        let conversation = send.conversation;
        self.outbox.push(send);
        self.tell(Event::ConversationChanged(conversation));
        Ok(true)
    }

    /// One that is under way may arrive all the same.
    pub(super) async fn discard(&mut self, key: &str) -> Result<bool, Error> {
        let Some(send) = self.store.discard(key).await? else {
            return Ok(false);
        };
        self.outbox.remove(send.conversation, key);
        self.waiters.remove(key);
        self.tell(Event::ConversationChanged(send.conversation));
        Ok(true)
    }

    pub(super) fn start_sends(&mut self, connection: &Connection, now: Instant) {
        for Attempt { send, attempt } in self.outbox.due(now) {
            let (conversation, key) = (send.conversation, send.key.clone());
            // Queued here and now, so that the order of the lane is the order on the wire.
            match connection.begin(Request::Send(send)) {
                Some(reply) => self.run_beside(async move {
                    let outcome = reply.await.and_then(expect::<v1::Ack>);
                    Done::Sent { conversation, key, attempt, outcome }
                }),
                None => drop(self.outbox.failed(conversation, &key, attempt, &Error::refused(ErrorCode::Busy, "no room"), now)),
            }
        }
    }

    pub(super) async fn on_sent(
        &mut self,
        conversation: i64,
        key: String,
        attempt: u32,
        outcome: Result<v1::Ack, Error>,
    ) -> Result<(), Error> {
        match outcome {
            Ok(ack) => self.on_acked(conversation, key, ack).await,
            Err(error) => self.on_send_failed(conversation, key, attempt, error).await,
        }
    }

    /// The echo keeps its place until the entry comes in the stream: an ack does not move the position.
    async fn on_acked(&mut self, conversation: i64, key: String, ack: v1::Ack) -> Result<(), Error> {
        if ack.epoch != 0 && ack.epoch != self.place.epoch {
            self.sync.want(Instant::now());
        }
        if !self.outbox.acked(conversation, &key) {
            return Ok(());
        }
        let ack = v1::Ack { conversation, key, ..ack };
        self.store.acked(&ack).await?;
        self.resolve(ack);
        self.tell(Event::ConversationChanged(conversation));
        Ok(())
    }

    /// The entry itself came: as good as an ack.
    pub(super) fn on_settled(&mut self, settled: Settled) {
        let Settled { conversation, key, seq, at_ms } = settled;
        self.outbox.acked(conversation, &key);
        self.resolve(v1::Ack { conversation, key, seq, at_ms, epoch: self.place.epoch });
    }

    fn resolve(&mut self, ack: v1::Ack) {
        if let Some(waiter) = self.waiters.remove(&ack.key) {
            drop(waiter.send(Ok(ack)));
        }
    }

    async fn on_send_failed(&mut self, conversation: i64, key: String, attempt: u32, error: Error) -> Result<(), Error> {
        match self.outbox.failed(conversation, &key, attempt, &error, Instant::now()) {
            Verdict::Stale => return Ok(()),
            Verdict::Again => {
                metrics::counter!("skein_sdk_sends_repeated_total").increment(1);
                tracing::debug!(code = error.code(), conversation, "send goes again");
                return Ok(());
            }
            Verdict::Failed => {}
        }
        let code = error.code().to_owned();
        self.store.failed(&key, &code).await?;
        if let Some(waiter) = self.waiters.remove(&key) {
            drop(waiter.send(Err(error)));
        }
        self.tell(Event::SendFailed { conversation, key, code });
        self.tell(Event::ConversationChanged(conversation));
        Ok(())
    }
}
