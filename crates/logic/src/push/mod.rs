//! The push platform: guests, live rooms, pushes and what becomes of them.
//!
//! [`Pushes`] answers the push API: [`keys`] says who may what, [`judge`] what a push must be like; [`transient`] hands one
//! to the transient log, whose other end is [`crate::job::live`]; [`durable`] keeps one; [`schedule`] holds one until its
//! time. [`guests`] are goim's sessions, [`online`] counts them, [`presence`] knows who is in which live room, [`sessions`]
//! is what accounts' sessions ask of live rooms, [`admin`] what the operator does.
//!
//! **Invariant:** what was accepted is handed on, counted in its receipt, or answered `busy`; nothing is dropped unsaid.
//!
//! **Invariant:** a push with a key has its outcome also if its caller is gone, and a repetition waits for it: whoever is
//! told that a push was accepted before is told of one that was.

pub mod admin;
mod balance;
mod config;
mod durable;
mod guests;
mod id;
mod judge;
mod keys;
mod online;
mod presence;
mod schedule;
mod sessions;
mod token;
mod transient;

pub use admin::PushAdmin;
pub use config::{Config, Goim};
pub(crate) use durable::Durable;
pub(crate) use guests::Guests;
pub(crate) use keys::Keys;
pub(crate) use online::Online;
pub(crate) use presence::LiveRooms;
pub(crate) use schedule::Schedule;
pub(crate) use sessions::LiveSessions;
pub(crate) use transient::Transient;

use crate::detached::to_the_end;
use crate::turns::Turns;
use durable::Keep;
use judge::Times;
use keys::PushCaller;
use skein_domain::door::Origin;
use skein_domain::id::{IdempotencyKey, Uid};
use skein_domain::live::{
    PushCommand, PushId, PushOutcome, PushReply, PushRequest, PushRoute, PushState, PushTarget, Pusher, REQUESTS_MAX, Receipt, Stored,
};
use skein_domain::port::{AcceptedPush, Clock, PushStore, ReceiptStore, Remembered, ScheduledPush};
use skein_domain::{Code, Error, Limits, Result};
use std::sync::Arc;
use tokio::sync::Notify;
use transient::{Accepted, receipt};

const ROOMS_ASKED_MAX: usize = 1_000;

/// The push API.
#[derive(Clone)]
pub(crate) struct Pushes {
    pub keys: Keys,
    pub store: Arc<dyn PushStore>,
    pub receipts: Arc<dyn ReceiptStore>,
    pub transient: Transient,
    pub durable: Durable,
    pub online: Online,
    /// Told when a push begins to wait for its time.
    pub scheduled: Arc<Notify>,
    /// Of pushes with the same key of an app.
    pub turns: Turns<(Uid, IdempotencyKey)>,
    pub clock: Arc<dyn Clock>,
    pub limits: Arc<Limits>,
    pub config: Arc<Config>,
}

impl Pushes {
    pub(crate) fn admin(&self) -> PushAdmin {
        PushAdmin { store: self.store.clone(), keys: self.keys.clone(), clock: self.clock.clone() }
    }

    pub(crate) async fn handle(&self, pusher: &Pusher, from: &Origin, command: PushCommand) -> Result<PushReply> {
        let caller = self.keys.caller(pusher, from).await?;
        let route = match command {
            PushCommand::Prove => return Ok(PushReply::Authorized),
            PushCommand::Push { requests } => return self.push(&caller, requests).await,
            PushCommand::Authorize { route } => route,
            _ => PushRoute::Read,
        };
        caller.count()?;
        caller.may(route)?;
        self.answer(&caller, command).await
    }

    async fn answer(&self, caller: &PushCaller, command: PushCommand) -> Result<PushReply> {
        match command {
            PushCommand::Prove | PushCommand::Push { .. } => Err(Error::internal()),
            PushCommand::Authorize { .. } => Ok(PushReply::Authorized),
            PushCommand::Receipt { push } => self.receipt(caller, &push).await.map(|receipt| PushReply::Receipt { receipt }),
            PushCommand::Top { prefix, limit } => self.online.top(caller, &prefix, limit).await.map(|rooms| PushReply::Counts { rooms }),
            PushCommand::Rooms { rooms } if rooms.len() > ROOMS_ASKED_MAX => Err(too_many(format!("at most {ROOMS_ASKED_MAX} rooms"))),
            PushCommand::Rooms { rooms } => self.online.rooms(caller, rooms).await.map(|rooms| PushReply::Counts { rooms }),
            PushCommand::Total => self.online.total().await.map(|(connections, addresses)| PushReply::Total { connections, addresses }),
            PushCommand::Nodes { platform, .. } => self.online.advice(&platform).await.map(|advice| PushReply::Advice { advice }),
            PushCommand::Instances => self.online.instances().await.map(|nodes| PushReply::Nodes { nodes }),
        }
    }

    /// Another app's push is as unknown as one that never was.
    async fn receipt(&self, caller: &PushCaller, push: &PushId) -> Result<Receipt> {
        let unknown = || Error::new(Code::NotFound, "no such push, or it was longer than ten minutes ago");
        if !id::is_one(push) {
            return Err(unknown());
        }
        let found = match self.receipts.get(push).await? {
            Some(known) => Some(known),
            None => self.store.scheduled(push).await?.map(|waits| receipt(waits.push, waits.app, PushState::Scheduled, waits.due)),
        };
        found.filter(|receipt| receipt.app == caller.app).ok_or_else(unknown)
    }

    // === pushing ===

    /// One after the other, so that they keep their order; each has its own outcome.
    async fn push(&self, caller: &PushCaller, requests: Vec<PushRequest>) -> Result<PushReply> {
        match requests.len() {
            0 => return Err(Error::new(Code::BadRequest, "nothing to push")),
            1..=REQUESTS_MAX => {}
            _ => return Err(too_many(format!("at most {REQUESTS_MAX} pushes at once"))),
        }
        let mut outcomes = Vec::with_capacity(requests.len());
        for request in requests {
            let outcome = self.push_one(caller, request).await.unwrap_or_else(|error| PushOutcome::Refused { error });
            let code = match &outcome {
                PushOutcome::Accepted { .. } => "ok",
                PushOutcome::Refused { error } => error.code.as_str(),
            };
            metrics::counter!("skein_pushes_total", "code" => code).increment(1);
            outcomes.push(outcome);
        }
        Ok(PushReply::Pushed { outcomes })
    }

    async fn push_one(&self, caller: &PushCaller, request: PushRequest) -> Result<PushOutcome> {
        caller.count()?;
        caller.may(judge::route(&request.target))?;
        if let PushTarget::Room(room) = &request.target {
            caller.may_in(room)?;
        }
        let now = self.clock.now();
        let times = judge::check(&request, &self.config, &self.limits, now)?;
        if request.durable {
            if caller.app == keys::NO_APP {
                return Err(Error::new(Code::Forbidden, "a durable push needs an API key: it is by the key's app"));
            }
            self.durable.check(caller.app, &request.target, times.due.is_some() || request.dry_run).await?;
        }
        let push = id::new(now)?;
        if request.dry_run {
            let would_reach = Some(self.transient.would_reach(request.target).await?);
            return Ok(PushOutcome::Accepted { push, stored: Vec::new(), would_reach, repeated: false });
        }
        let Some(key) = request.key.clone() else { return self.carry_out(caller.app, request, times, push).await };
        let (this, app, turn) = (self.clone(), caller.app, self.turns.take((caller.app, key)));
        to_the_end(async move {
            let _turn = turn.wait().await;
            this.carry_out(app, request, times, push).await
        })
        .await
    }

    async fn carry_out(&self, app: Uid, request: PushRequest, times: Times, push: PushId) -> Result<PushOutcome> {
        let (push, repeated) = match self.accept(app, &request, times, push).await? {
            (push, Remembered::New) => (push, false),
            (_, Remembered::Before(first)) => (first, true),
        };
        let stored = match (times.due, request.durable) {
            (Some(_), _) => Vec::new(),
            (None, true) => self.keep(app, &push, request, times, repeated).await?,
            (None, false) if repeated => Vec::new(),
            (None, false) => self.hand_on(app, &push, request, times).await.map(|()| Vec::new())?,
        };
        Ok(PushOutcome::Accepted { push, stored, would_reach: None, repeated })
    }

    /// Remembers the key, if there is one, and puts a push that waits on disk.
    async fn accept(&self, app: Uid, request: &PushRequest, times: Times, push: PushId) -> Result<(PushId, Remembered)> {
        let at = self.clock.now();
        let schedule = times.due.map(|due| {
            let request = request.clone();
            ScheduledPush { push: push.clone(), app, request, due, expires: times.expires }
        });
        let key = request.key.clone().map(|key| judge::digest(request).map(|digest| (key, digest))).transpose()?;
        if key.is_none() && schedule.is_none() {
            return Ok((push, Remembered::New));
        }
        let (waits, waiting_max) = (schedule.is_some(), self.config.scheduled_per_app);
        let remembered = self.store.accept(AcceptedPush { push: push.clone(), app, key, schedule, waiting_max, at }).await?;
        if waits && remembered == Remembered::New {
            schedule::note(&*self.receipts, receipt(push.clone(), app, PushState::Scheduled, at)).await;
            self.scheduled.notify_one();
        }
        Ok((push, remembered))
    }

    /// What was refused for good is kept nowhere: its key is free again. Not that of a repetition, as the first may be kept.
    async fn keep(&self, app: Uid, push: &PushId, request: PushRequest, times: Times, repeated: bool) -> Result<Vec<Stored>> {
        let keep = Keep { push, app, message: &request.message, at: self.clock.now() };
        let outcome = self.durable.keep(keep, &request.target).await;
        if let (Err(error), Some(key), false) = (&outcome, &request.key, repeated)
            && !schedule::may_pass(error.code)
        {
            self.store.forget(app, key).await?;
        }
        let kept = outcome?;
        let PushRequest { target, message, priority, .. } = request;
        let accepted = Accepted { push: push.clone(), app, target, message, expires: times.expires, priority };
        schedule::announce(&self.transient, accepted, kept.repeated).await;
        Ok(kept.stored)
    }

    /// What nobody took was not accepted: its key is free again.
    async fn hand_on(&self, app: Uid, push: &PushId, request: PushRequest, times: Times) -> Result<()> {
        let PushRequest { target, message, key, priority, .. } = request;
        let accepted = Accepted { push: push.clone(), app, target, message, expires: times.expires, priority };
        let outcome = self.transient.publish(accepted).await;
        if let (Err(_), Some(key)) = (&outcome, &key) {
            self.store.forget(app, key).await?;
        }
        outcome
    }
}

fn too_many(message: String) -> Error {
    Error::new(Code::TooLarge, message)
}
