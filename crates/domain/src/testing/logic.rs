//! A logic of which a test says what it answers.

use crate::command::{AccountCommand, AccountReply, Command, Reply};
use crate::door::{Caller, Connect, Connected, Logic, NodeLoad, Origin};
use crate::id::{ConnectionRef, NodeId};
use crate::live::{GuestCommand, GuestReply, PushCommand, PushReply, Pusher};
use crate::{Code, Error, Result};
use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending, ready};
use std::sync::Mutex;

pub type Play<C, R> = Box<dyn Fn(C) -> BoxFuture<'static, Result<R>> + Send + Sync>;

pub fn at_once<C, R: Send + 'static>(play: impl Fn(C) -> Result<R> + Send + Sync + 'static) -> Play<C, R> {
    Box::new(move |command| ready(play(command)).boxed())
}

pub fn never<C, R: Send + 'static>() -> Play<C, R> {
    Box::new(|_| pending().boxed())
}

/// Answers as its plays do, and remembers what they were asked. A play nobody wrote refuses with `internal`; so does
/// `connect`. As nobody is connected, there is nothing to disconnect and nothing to renew.
pub struct ScriptedLogic {
    /// Whom the push API knows: everybody else is `unauthorized`. That they are known is answered without the play and
    /// not remembered.
    pub pushers: Vec<Pusher>,
    pub on_call: Play<Command, Reply>,
    pub on_account: Play<AccountCommand, AccountReply>,
    pub on_guest: Play<GuestCommand, GuestReply>,
    pub on_push: Play<PushCommand, PushReply>,
    pub called: Mutex<Vec<(Caller, Command)>>,
    pub accounts: Mutex<Vec<(Origin, AccountCommand)>>,
    pub guests: Mutex<Vec<GuestCommand>>,
    pub pushed: Mutex<Vec<(Pusher, Origin, PushCommand)>>,
}

impl Default for ScriptedLogic {
    fn default() -> Self {
        Self {
            pushers: Vec::new(),
            on_call: refusing(),
            on_account: refusing(),
            on_guest: refusing(),
            on_push: refusing(),
            called: Mutex::default(),
            accounts: Mutex::default(),
            guests: Mutex::default(),
            pushed: Mutex::default(),
        }
    }
}

fn refusing<C, R: Send + 'static>() -> Play<C, R> {
    at_once(|_| Err(Error::internal()))
}

impl ScriptedLogic {
    pub fn commands(&self) -> Vec<Command> {
        self.called.lock().unwrap().iter().map(|(_, command)| command.clone()).collect()
    }

    pub fn push_commands(&self) -> Vec<PushCommand> {
        self.pushed.lock().unwrap().iter().map(|(_, _, command)| command.clone()).collect()
    }
}

#[async_trait]
impl Logic for ScriptedLogic {
    async fn connect(&self, _: Connect) -> Result<Connected> {
        Err(Error::internal())
    }

    async fn disconnect(&self, _: NodeId, _: ConnectionRef) -> Result<()> {
        Ok(())
    }

    async fn renew(&self, _: NodeLoad, _: Vec<ConnectionRef>) -> Result<Vec<ConnectionRef>> {
        Ok(Vec::new())
    }

    fn call(&self, caller: Caller, command: Command) -> BoxFuture<'static, Result<Reply>> {
        self.called.lock().unwrap().push((caller, command.clone()));
        (self.on_call)(command)
    }

    async fn account(&self, from: Origin, command: AccountCommand) -> Result<AccountReply> {
        self.accounts.lock().unwrap().push((from, command.clone()));
        (self.on_account)(command).await
    }

    async fn guest(&self, command: GuestCommand) -> Result<GuestReply> {
        self.guests.lock().unwrap().push(command.clone());
        (self.on_guest)(command).await
    }

    async fn push(&self, pusher: Pusher, from: Origin, command: PushCommand) -> Result<PushReply> {
        if !self.pushers.contains(&pusher) {
            return Err(Error::new(Code::Unauthorized, "no such API key"));
        }
        if command == PushCommand::Prove {
            return Ok(PushReply::Authorized);
        }
        self.pushed.lock().unwrap().push((pusher, from, command.clone()));
        (self.on_push)(command).await
    }
}
