//! Accounts, sessions and profiles. What holds a password, code or token has no `Debug`.

use super::{Int64, words};
use serde::{Deserialize, Serialize};
use skein_domain::account as domain;
use skein_domain::account::CodePurpose;
use skein_domain::command;
use skein_domain::port::CometAddress;
use utoipa::ToSchema;

words!(Purpose = CodePurpose { Register, Reset });
words!(DeviceClass = domain::DeviceClass { Desktop, Web, Mobile, Cli });

#[derive(Deserialize, ToSchema)]
pub struct CodeRequest {
    #[schema(example = "ann@example.org")]
    pub email: String,
    pub purpose: Purpose,
}

#[derive(Deserialize, ToSchema)]
pub struct RegisterRequest {
    #[schema(example = "ann@example.org")]
    pub email: String,
    /// The six digits from the mail.
    #[schema(example = "123456")]
    pub code: String,
    pub password: String,
    #[schema(example = "Ann")]
    pub nickname: String,
}

#[derive(Serialize, ToSchema)]
pub struct Registered {
    pub uid: Int64,
}

#[derive(Deserialize, ToSchema)]
pub struct ResetRequest {
    pub email: String,
    /// The six digits from the mail.
    pub code: String,
    pub password: String,
}

#[derive(Deserialize, ToSchema)]
pub struct LogInRequest {
    pub email: String,
    pub password: String,
    /// One live session of each class but `cli`, which may have ten.
    pub device_class: DeviceClass,
    /// Name and version of the client, for the list of devices.
    #[serde(default)]
    pub client: String,
    /// Whether the session's secret comes as a cookie instead of a token. Default: true for `web`, else false.
    #[serde(default)]
    pub cookie: Option<bool>,
}

impl LogInRequest {
    pub fn wants_cookie(&self) -> bool {
        self.cookie.unwrap_or(self.device_class == DeviceClass::Web)
    }
}

#[derive(Serialize, ToSchema)]
pub struct LoggedIn {
    pub uid: Int64,
    pub nickname: String,
    pub session: Int64,
    pub device_class: DeviceClass,
    /// Unix milliseconds; moves on while the session is used.
    pub expires_at_ms: Int64,
    /// Told once. Absent when the cookie holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The Comet to connect to; absent when none is alive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comet: Option<Comet>,
}

impl LoggedIn {
    pub fn new(logged_in: command::LoggedIn, shows_token: bool) -> Self {
        Self {
            uid: logged_in.uid.into(),
            nickname: logged_in.nickname,
            session: logged_in.session.id.into(),
            device_class: logged_in.session.class.into(),
            expires_at_ms: logged_in.session.expires_at.into(),
            token: shows_token.then_some(logged_in.token),
            comet: logged_in.comet.map(Comet::from),
        }
    }
}

/// Where to connect for live chat.
#[derive(Serialize, ToSchema)]
pub struct Comet {
    pub node: String,
    /// `host:port`; empty when not served.
    #[schema(example = "127.0.0.1:3101")]
    pub tcp: String,
    #[schema(example = "ws://127.0.0.1:8080/ws")]
    pub websocket: String,
}

impl From<CometAddress> for Comet {
    fn from(address: CometAddress) -> Self {
        Self { node: address.node, tcp: address.tcp, websocket: address.websocket }
    }
}

#[derive(Deserialize, ToSchema)]
pub struct TicketRequest {
    /// The Comet the ticket is for; absent: the one to use now.
    #[serde(default)]
    pub node: Option<String>,
}

/// Good once, for 60 seconds, at this Comet.
#[derive(Serialize, ToSchema)]
pub struct Ticket {
    pub ticket: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comet: Option<Comet>,
}

#[derive(Serialize, ToSchema)]
pub struct Devices {
    pub devices: Vec<Device>,
}

/// One of my sessions.
#[derive(Serialize, ToSchema)]
pub struct Device {
    pub session: Int64,
    pub device_class: DeviceClass,
    pub client: String,
    pub created_at_ms: Int64,
    /// Moved at most daily.
    pub seen_at_ms: Int64,
    pub expires_at_ms: Int64,
    /// The one that asks.
    pub current: bool,
}

impl Device {
    pub fn new(session: domain::Session, current: skein_domain::id::SessionId) -> Self {
        Self {
            session: session.id.into(),
            device_class: session.class.into(),
            client: session.client,
            created_at_ms: session.created_at.into(),
            seen_at_ms: session.seen_at.into(),
            expires_at_ms: session.expires_at.into(),
            current: session.id == current,
        }
    }
}

/// `email` and `findable_by_email` only in one's own.
#[derive(Serialize, ToSchema)]
pub struct Profile {
    pub uid: Int64,
    pub nickname: String,
    pub signature: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findable_by_email: Option<bool>,
}

impl From<domain::Profile> for Profile {
    fn from(profile: domain::Profile) -> Self {
        let is_own = profile.email.is_some();
        Self {
            uid: profile.uid.into(),
            nickname: profile.nickname,
            signature: profile.signature,
            email: profile.email,
            findable_by_email: is_own.then_some(profile.findable_by_email),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub struct ProfilesPage {
    pub profiles: Vec<Profile>,
    /// Where the next page begins; empty when there is none.
    pub cursor: String,
}

/// Only what is set changes.
#[derive(Deserialize, ToSchema)]
pub struct ProfileChange {
    #[serde(default)]
    pub nickname: Option<String>,
    #[serde(default)]
    pub signature: Option<String>,
    #[serde(default)]
    pub findable_by_email: Option<bool>,
}

impl From<ProfileChange> for domain::ProfileChange {
    fn from(change: ProfileChange) -> Self {
        Self { nickname: change.nickname, signature: change.signature, findable_by_email: change.findable_by_email }
    }
}

#[derive(Deserialize, ToSchema)]
pub struct VerifyRequest {
    /// The value of a client's session cookie, or its token.
    #[serde(alias = "cookie", alias = "token")]
    pub secret: String,
}

/// Whose secret it is.
#[derive(Serialize, ToSchema)]
pub struct Verified {
    pub uid: Int64,
    pub nickname: String,
    pub session: Int64,
    pub device_class: DeviceClass,
    pub expires_at_ms: Int64,
}

impl Verified {
    pub fn new(session: domain::Session, nickname: String) -> Self {
        Self {
            uid: session.uid.into(),
            nickname,
            session: session.id.into(),
            device_class: session.class.into(),
            expires_at_ms: session.expires_at.into(),
        }
    }
}
