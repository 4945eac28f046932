//! Administration of the push platform: API keys, bindings of live rooms, tags.

use super::server::{ACTOR, Admin};
use clap::{Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use skein_domain::Result;
use skein_domain::id::ConversationId;
use skein_domain::live::{PushRoute, RoomName, Scope};
use skein_domain::port::ApiKey;

#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum KeyAct {
    /// Make a key. Its secret is told once.
    Create {
        /// Name of the app that pushes; users see it as the sender.
        app: String,
        /// What it may be used for; by default everything but `verify`.
        #[arg(long = "route", value_enum, value_delimiter = ',')]
        #[serde(default)]
        routes: Vec<Route>,
        /// Only rooms whose names begin so; may be repeated.
        #[arg(long = "room", value_name = "PREFIX")]
        #[serde(default)]
        rooms: Vec<String>,
        /// Requests per second, with a burst of as many.
        #[arg(long, default_value_t = 100)]
        per_second: u32,
    },
    /// Make a key worthless, at once.
    Revoke { id: i64 },
    /// List keys, also revoked ones.
    List,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Push to users, goim keys and mids.
    Unicast,
    /// Push to live rooms.
    Room,
    /// Push to everyone.
    All,
    /// Counts, nodes and receipts.
    Read,
    /// `POST /logic/verify`.
    Verify,
}

impl From<Route> for PushRoute {
    fn from(route: Route) -> Self {
        match route {
            Route::Unicast => Self::Unicast,
            Route::Room => Self::Room,
            Route::All => Self::All,
            Route::Read => Self::Read,
            Route::Verify => Self::Verify,
        }
    }
}

#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum RoomAct {
    /// Send durable pushes to a live room into this chat room.
    Bind {
        /// For example live://1000.
        room: String,
        /// Id of the chat room.
        conversation: i64,
    },
    /// Refuse durable pushes to the live room from now on.
    Unbind { room: String },
    /// List bindings.
    Bindings,
}

impl Admin {
    pub(super) async fn key(&self, act: KeyAct) -> Result<Value> {
        let admin = self.logic.push_admin();
        match act {
            KeyAct::Create { app, routes, rooms, per_second } => {
                let all_but_verify = [PushRoute::Unicast, PushRoute::Room, PushRoute::All, PushRoute::Read];
                let routes = if routes.is_empty() { all_but_verify.to_vec() } else { routes.into_iter().map(Into::into).collect() };
                let (secret, key) = admin.create_key(&app, Scope { routes, rooms }, per_second, ACTOR).await?;
                let mut told = shown(&key);
                told["secret"] = secret.into();
                Ok(told)
            }
            KeyAct::Revoke { id } => {
                admin.revoke_key(id, ACTOR).await?;
                Ok(json!({"id": id, "revoked": true}))
            }
            KeyAct::List => Ok(admin.keys().await?.iter().map(shown).collect()),
        }
    }

    pub(super) async fn room(&self, act: RoomAct) -> Result<Value> {
        let admin = self.logic.push_admin();
        match act {
            RoomAct::Bind { room, conversation } => {
                let name = RoomName::parse(&room)?;
                admin.bind_room(&name, Some(ConversationId(conversation)), ACTOR).await?;
                Ok(json!({"room": room, "conversation": conversation}))
            }
            RoomAct::Unbind { room } => {
                admin.bind_room(&RoomName::parse(&room)?, None, ACTOR).await?;
                Ok(json!({"room": room, "conversation": null}))
            }
            RoomAct::Bindings => {
                let bindings = admin.bindings().await?;
                Ok(bindings.iter().map(|(room, to)| json!({"room": room, "conversation": to})).collect())
            }
        }
    }

    /// Replaces the user's tags.
    pub(super) async fn tag(&self, user: &str, tags: Vec<String>) -> Result<Value> {
        let uid = self.find(user).await?.uid;
        self.logic.push_admin().set_tags(uid, &tags, ACTOR).await?;
        Ok(json!({"uid": uid, "tags": tags}))
    }
}

fn shown(key: &ApiKey) -> Value {
    let routes: Vec<_> = key.scope.routes.iter().map(|route| route.as_str()).collect();
    json!({
        "id": key.id,
        "app": key.name,
        "uid": key.app,
        "routes": routes.join(","),
        "rooms": if key.scope.rooms.is_empty() { "*".to_owned() } else { key.scope.rooms.join(",") },
        "per_second": key.per_second,
        "created_at_ms": key.created_at,
        "revoked_at_ms": key.revoked_at,
    })
}
