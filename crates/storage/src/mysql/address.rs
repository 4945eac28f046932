//! A database server as a setting names it: how the setting is read, and what is said when nobody can log in there.
//!
//! **Invariant:** nothing that is said repeats the password.

use super::session::{Purpose, Session};
use crate::{MySqlConfig, OpenError};
use sqlx::mysql::{MySqlConnectOptions, MySqlDatabaseError};
use std::fmt;
use std::str::FromStr;

pub(super) struct Address {
    setting: &'static str,
    pub options: MySqlConnectOptions,
}

impl Address {
    pub fn primary(config: &MySqlConfig) -> Result<Self, OpenError> {
        Self::read("storage.mysql.url", &config.url)
    }

    pub fn replica(config: &MySqlConfig) -> Result<Option<Self>, OpenError> {
        let url = &config.replica_url;
        if url.is_empty() { Ok(None) } else { Self::read("storage.mysql.replica_url", url).map(Some) }
    }

    fn read(setting: &'static str, url: &str) -> Result<Self, OpenError> {
        // The driver's error could repeat the password.
        let options = MySqlConnectOptions::from_str(url).map_err(|_| OpenError::Url(setting))?;
        if options.get_database().is_none_or(str::is_empty) {
            return Err(OpenError::Url(setting));
        }
        // The driver looks `[::1]` up as a name.
        let host = options.get_host().trim_matches(['[', ']']).to_owned();
        Ok(Self { setting, options: options.host(&host).charset("utf8mb4").collation("utf8mb4_bin") })
    }

    /// Must not be called on a thread of an async runtime.
    pub fn log_in(&self, purpose: Purpose) -> Result<Session, OpenError> {
        let session = Session::log_in(&self.options).map_err(|error| self.not_logged_in(&error))?;
        Ok(session.prepared(purpose)?)
    }

    fn not_logged_in(&self, error: &sqlx::Error) -> OpenError {
        let (setting, address) = (self.setting, self.to_string());
        match error {
            sqlx::Error::Database(refusal) => {
                let number = refusal.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number);
                let reason = refusal.message().to_owned();
                if number.is_some_and(is_of_the_setting) {
                    OpenError::Refused { setting, address, reason }
                } else {
                    OpenError::Unreachable { setting, address, reason }
                }
            }
            sqlx::Error::Tls(reason) => OpenError::Refused { setting, address, reason: reason.to_string() },
            sqlx::Error::Io(reason) => OpenError::Unreachable { setting, address, reason: reason.to_string() },
            other => OpenError::Unreachable { setting, address, reason: other.to_string() },
        }
    }
}

/// No access to the database, wrong user or password, no such database, a user for the system's own log-in only.
fn is_of_the_setting(number: u16) -> bool {
    matches!(number, 1044 | 1045 | 1049 | 1698)
}

/// Where it is: `host:port`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (self.options.get_host(), self.options.get_port());
        match self.options.get_socket() {
            Some(socket) => write!(f, "{}", socket.display()),
            None if host.contains(':') => write!(f, "[{host}]:{port}"),
            None => write!(f, "{host}:{port}"),
        }
    }
}
