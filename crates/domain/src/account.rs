//! Users, their profiles, devices and sessions.

use crate::id::{Millis, SessionId, Uid};
use serde::{Deserialize, Serialize};

/// A user as stored. The password hash never leaves logic.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    pub uid: Uid,
    pub email: String,
    pub nickname: String,
    pub signature: String,
    pub findable_by_email: bool,
    pub password_hash: String,
    pub role: UserRole,
    pub disabled: bool,
    pub created_at: Millis,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("uid", &self.uid).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserRole {
    User,
    Admin,
}

/// `email` is set only in one's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    pub uid: Uid,
    pub nickname: String,
    pub signature: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(default)]
    pub findable_by_email: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProfileChange {
    #[serde(default)]
    pub nickname: Option<String>,
    #[serde(default)]
    pub signature: Option<String>,
    #[serde(default)]
    pub findable_by_email: Option<bool>,
}

/// Desktop, web and mobile: one live session each; `cli` (terminal, bots): up to [`DeviceClass::CLI_SESSIONS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceClass {
    Desktop,
    Web,
    Mobile,
    Cli,
}

impl DeviceClass {
    pub const CLI_SESSIONS_MAX: usize = 10;

    pub fn as_str(self) -> &'static str {
        match self {
            DeviceClass::Desktop => "desktop",
            DeviceClass::Web => "web",
            DeviceClass::Mobile => "mobile",
            DeviceClass::Cli => "cli",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Desktop, Self::Web, Self::Mobile, Self::Cli].into_iter().find(|class| class.as_str() == text)
    }

    pub fn sessions_max(self) -> usize {
        if self == DeviceClass::Cli { Self::CLI_SESSIONS_MAX } else { 1 }
    }
}

/// A live session as stored. Its secret exists only as a hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub id: SessionId,
    pub uid: Uid,
    pub class: DeviceClass,
    pub client: String,
    pub created_at: Millis,
    /// Last renewal; moved at most daily.
    pub seen_at: Millis,
    pub expires_at: Millis,
}

/// SHA-256 of a secret of 256 random bits. The secret itself is told once, to its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash(pub [u8; 32]);

/// Why a session ended; decides the close code its connection gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// A newer log-in of its device class.
    LoggedInElsewhere,
    /// The same session connected again.
    Replaced,
    LoggedOut,
    PasswordReset,
    Disabled,
}

/// What an e-mail code is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodePurpose {
    Register,
    Reset,
}

impl CodePurpose {
    pub fn as_str(self) -> &'static str {
        match self {
            CodePurpose::Register => "register",
            CodePurpose::Reset => "reset",
        }
    }
}
