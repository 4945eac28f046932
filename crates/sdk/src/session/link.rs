//! Up or down: dialing with growing pauses and over several addresses, and what each way to lose the link means.

use std::future::pending;
use std::time::Duration;

use skein_protocol::{Advice, CloseCode, ErrorCode, Push, v1};
use tokio::time::Instant;

use super::{Done, Session};
use crate::address::Address;
use crate::connection::{Auth, CloseReason, Connection, Options, Pushes};
use crate::error::{Error, Retry};
use crate::event::Event;
use crate::gate::{Account, Comet, Gate};
use crate::store::{Page, Place};

/// What the client's handles see of the link.
#[derive(Clone)]
pub(crate) enum LinkState {
    /// Nobody is logged in, or nobody may come back by itself.
    Idle,
    Offline,
    Online {
        connection: Connection,
        is_synced: bool,
    },
    Closed,
}

pub(super) enum Link {
    Idle,
    Waiting { until: Instant },
    Dialing,
    Online { connection: Connection, pushes: Pushes, is_synced: bool, leave_at: Option<Instant>, since: Instant },
}

/// Connections that ended with something unreadable, with no steady one in between: whatever it is, it comes again.
#[derive(Default)]
pub(super) struct Breaks(u32);

impl Breaks {
    /// So many, then the client stops until somebody asks it to connect.
    const MAX: u32 = 5;
    /// A connection that lived so long was a good one.
    const STEADY: Duration = Duration::from_secs(60);

    fn lived(&mut self, lived: Duration) {
        if lived >= Self::STEADY {
            self.0 = 0;
        }
    }

    fn is_one_too_many(&mut self) -> bool {
        self.0 += 1;
        self.0 >= Self::MAX
    }
}

pub(super) struct Dialed {
    connection: Connection,
    pushes: Pushes,
    hello: v1::Hello,
}

/// Which Comets are tried.
#[derive(Clone, Debug, Default)]
pub(crate) struct Endpoints {
    /// Instead of what log-in names.
    pub fixed: Vec<Address>,
    pub prefers_websocket: bool,
}

impl Endpoints {
    fn of(&self, comet: Option<&Comet>) -> Vec<Address> {
        if !self.fixed.is_empty() {
            return self.fixed.clone();
        }
        let comet = comet.cloned().unwrap_or_default();
        let mut addresses: Vec<Address> = [comet.tcp, comet.websocket].iter().filter_map(|text| text.parse().ok()).collect();
        if self.prefers_websocket {
            addresses.reverse();
        }
        addresses
    }
}

impl Link {
    pub fn connection(&self) -> Option<&Connection> {
        match self {
            Link::Online { connection, .. } => Some(connection),
            _ => None,
        }
    }

    pub fn is_due(&self, now: Instant) -> bool {
        matches!(self, Link::Waiting { until } if *until <= now)
    }

    pub fn wake_at(&self) -> Option<Instant> {
        match self {
            Link::Waiting { until } => Some(*until),
            Link::Online { leave_at, .. } => *leave_at,
            Link::Idle | Link::Dialing => None,
        }
    }

    /// Never, unless on line. Cancel-safe.
    pub async fn next_push(&mut self) -> Option<Push> {
        match self {
            Link::Online { pushes, .. } => pushes.recv().await,
            _ => pending().await,
        }
    }

    pub fn leave_at(&mut self, at: Instant) {
        if let Link::Online { leave_at, .. } = self {
            *leave_at = Some(at);
        }
    }

    pub fn close(&self) {
        if let Some(connection) = self.connection() {
            connection.close();
        }
    }
}

impl Session {
    pub(super) async fn log_in(&mut self, account: Account) -> Result<(), Error> {
        self.drop_link();
        self.store.save_account(&account).await?;
        self.load().await?;
        self.link_from_account();
        Ok(())
    }

    pub(super) async fn forget(&mut self) -> Result<(), Error> {
        self.drop_link();
        self.waiters.clear();
        self.store.wipe().await?;
        self.load().await?;
        self.link_from_account();
        Ok(())
    }

    /// Dials at once if there is somebody to log in.
    pub(super) fn link_from_account(&mut self) {
        if self.link.connection().is_some() {
            return;
        }
        self.backoff.reset();
        let can_log_in = self.account.as_ref().is_some_and(Account::is_logged_in);
        self.link_number += 1;
        self.link = if can_log_in { Link::Waiting { until: Instant::now() } } else { Link::Idle };
        self.show_link();
    }

    pub(super) fn dial(&mut self) {
        let Some(account) = self.account.clone() else {
            self.link = Link::Idle;
            return self.show_link();
        };
        self.link_number += 1;
        self.link = Link::Dialing;
        let (link, attempts) = (self.link_number, self.backoff.attempts());
        let (gate, endpoints, options) = (self.gate.clone(), self.endpoints.clone(), self.options.clone());
        self.run_beside(async move { Done::Dialed { link, outcome: dial(&gate, &account, &endpoints, &options, attempts).await } });
    }

    pub(super) async fn on_dialed(&mut self, outcome: Result<Dialed, Error>) -> Result<(), Error> {
        let Dialed { connection, pushes, hello } = match outcome {
            Ok(dialed) => dialed,
            Err(error) => return self.on_dial_failed(error).await,
        };
        self.meet_epoch(hello.epoch).await?;
        let now = Instant::now();
        self.link = Link::Online { connection, pushes, is_synced: false, leave_at: None, since: now };
        self.sync.begin(now);
        self.show_link();
        tracing::info!(user = hello.uid, node = hello.node, "connected");
        self.tell(Event::Connected);
        Ok(())
    }

    /// Another epoch: positions and cursors mean nothing any more.
    async fn meet_epoch(&mut self, epoch: u64) -> Result<(), Error> {
        if self.place.epoch == epoch {
            return Ok(());
        }
        let is_first = self.place.epoch == 0;
        self.place = Place { epoch, cursor: String::new() };
        let page = Page { reset: !is_first, place: Some(self.place.clone()), advances: Vec::new() };
        self.store.apply(page, self.my_uid()).await?;
        if !is_first {
            tracing::info!("server has another epoch, starting windows anew");
            self.conversations.clear();
            self.outbox.restore(self.store.waiting().await?);
        }
        Ok(())
    }

    async fn on_dial_failed(&mut self, error: Error) -> Result<(), Error> {
        tracing::debug!(code = error.code(), error = %error, "dial failed");
        match &error {
            Error::Closed(reason) => return self.on_close(reason.clone()).await,
            Error::Refused { code, message, .. } if error.retry() == Retry::Never => {
                let (code, message) = (code.clone(), message.clone());
                return self.stop(code, message).await;
            }
            _ => self.wait_to_dial(&error),
        }
        Ok(())
    }

    /// The pushes ended, so the connection has.
    pub(super) async fn link_ended(&mut self) -> Result<(), Error> {
        let Some(connection) = self.link.connection().cloned() else {
            return Ok(());
        };
        let reason = connection.closed().await;
        self.on_close(reason).await
    }

    async fn on_close(&mut self, reason: CloseReason) -> Result<(), Error> {
        let leave_at = match self.link {
            Link::Online { leave_at, since, .. } => {
                self.breaks.lived(since.elapsed());
                leave_at
            }
            _ => None,
        };
        self.drop_link();
        if reason.is_broken {
            return self.on_break(reason).await;
        }
        if reason.advice() == Advice::Stop {
            let code = reason.code.map_or("closed", CloseCode::name).to_owned();
            return self.stop(code, reason.text).await;
        }
        self.wait_to_dial(&Error::Closed(reason));
        // `goAway` said when to come back.
        if let (Some(at), Link::Waiting { until }) = (leave_at, &mut self.link) {
            *until = at;
        }
        Ok(())
    }

    async fn on_break(&mut self, reason: CloseReason) -> Result<(), Error> {
        metrics::counter!("skein_sdk_breaks_total").increment(1);
        if !self.breaks.is_one_too_many() {
            self.wait_to_dial(&Error::Closed(reason));
            return Ok(());
        }
        self.breaks = Breaks::default();
        let code = reason.code.map_or("protocol_error", CloseCode::name).to_owned();
        self.stop(code, reason.text).await
    }

    /// `goAway` gave a time; by then this connection is left for another.
    pub(super) fn leave_if_asked(&mut self, now: Instant) {
        if matches!(self.link, Link::Online { leave_at: Some(at), .. } if at <= now) {
            self.link.close();
            self.drop_link();
            self.link = Link::Waiting { until: now };
            self.show_link();
        }
    }

    pub(super) fn wait_to_dial(&mut self, error: &Error) {
        let pause = self.backoff.next();
        let pause = match error.retry() {
            Retry::After(asked) => pause.max(asked),
            _ => pause,
        };
        metrics::counter!("skein_sdk_reconnects_total").increment(1);
        self.link = Link::Waiting { until: Instant::now() + pause };
        self.show_link();
        self.tell(Event::Disconnected { retry_in: pause, reason: error.to_string() });
    }

    /// Nobody comes back by itself. Where the session is over, its token is forgotten.
    async fn stop(&mut self, code: String, reason: String) -> Result<(), Error> {
        tracing::info!(code, "session stopped");
        self.link_number += 1;
        self.link = Link::Idle;
        self.show_link();
        if !ends_session(&code) {
            self.tell(Event::Stopped { code, reason });
            return Ok(());
        }
        if let Some(account) = &mut self.account {
            account.token = None;
            self.store.save_account(account).await?;
        }
        self.tell(Event::LoggedOut { code, reason });
        Ok(())
    }

    /// What was under way is not: its outcome is unknown.
    pub(super) fn drop_link(&mut self) {
        self.link.close();
        self.link = Link::Idle;
        self.link_number += 1;
        let now = Instant::now();
        self.outbox.link_lost();
        self.sync.link_lost();
        self.conversations.values_mut().for_each(|tracked| tracked.timeline.link_lost(now));
        self.show_link();
    }

    pub(super) fn show_link(&self) {
        self.state.send_replace(match &self.link {
            Link::Idle => LinkState::Idle,
            Link::Waiting { .. } | Link::Dialing => LinkState::Offline,
            Link::Online { connection, is_synced, .. } => LinkState::Online { connection: connection.clone(), is_synced: *is_synced },
        });
    }
}

fn ends_session(code: &str) -> bool {
    let closes = [CloseCode::LoggedInElsewhere, CloseCode::LoggedOut, CloseCode::AuthFailed, CloseCode::Disabled];
    code == ErrorCode::Unauthorized.as_str() || closes.iter().any(|close| close.name() == code)
}

/// One attempt at one address. After a failure the gate is asked first which Comet to use now: the last one may be gone.
async fn dial(gate: &Gate, account: &Account, endpoints: &Endpoints, options: &Options, attempts: u32) -> Result<Dialed, Error> {
    let token = account.token.as_deref().ok_or(Error::NotLoggedIn)?;
    let mut comet = account.comet.clone();
    if endpoints.fixed.is_empty() && (comet.is_none() || attempts > 0) {
        match gate.ticket(token).await {
            Ok(ticket) => comet = ticket.comet.or(comet),
            Err(error) if error.is(ErrorCode::Unauthorized) => return Err(error),
            Err(error) => tracing::debug!(code = error.code(), "gate names no comet"),
        }
    }
    let addresses = endpoints.of(comet.as_ref());
    let Some(address) = addresses.get(attempts as usize % addresses.len().max(1)) else {
        return Err(Error::Network("no comet to connect to".to_owned()));
    };
    let (connection, pushes, hello) = Connection::connect_with(address, Auth::Token(token.to_owned()), options).await?;
    Ok(Dialed { connection, pushes, hello })
}
