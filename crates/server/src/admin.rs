//! Administration of the running process: `<data>/admin.sock` (mode 0600) for verbs, and the admin HTTP listener for
//! health, readiness and metrics.
//!
//! One request a connection: a line of JSON, answered by a line of JSON. Whoever may open the socket may do everything,
//! so the file mode is the access control; every changing verb leaves an audit row.

use clap::Subcommand;
use serde::{Deserialize, Serialize};

pub mod client;
mod demo;
pub mod http;
pub mod push;
pub mod server;

#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Verb {
    /// List users by uid.
    Users {
        /// Only uids above this one.
        #[arg(long, default_value_t = 0)]
        after: i64,
        #[arg(long, default_value_t = 100)]
        count: u32,
    },
    /// Bar a user: all their sessions end now.
    Disable {
        /// Uid or e-mail address.
        user: String,
    },
    /// Let a barred user in again.
    Enable {
        /// Uid or e-mail address.
        user: String,
    },
    /// Give a user a new random password and end all their sessions.
    Reset {
        /// Uid or e-mail address.
        user: String,
    },
    /// Tell everybody who is online.
    Notice {
        text: String,
        #[arg(long, default_value = "Skein")]
        title: String,
    },
    /// Numbers of the running process.
    Stats,
    /// What each connection of a user is doing, at whichever Comet it is.
    Connections {
        /// Uid or e-mail address.
        user: String,
    },
    /// What administrators did, newest first.
    Audit {
        #[arg(long, default_value_t = 50)]
        count: u32,
    },
    /// API keys of the push API.
    Key {
        #[command(subcommand)]
        act: push::KeyAct,
    },
    /// Chat rooms in which durable pushes to live rooms are kept.
    Room {
        #[command(subcommand)]
        act: push::RoomAct,
    },
    /// Records the job could not deliver and set aside in Kafka.
    DeadLetters {
        #[command(subcommand)]
        act: DeadLettersAct,
    },
    /// Set the words by which pushes to all find a user's connections; without any, take them away.
    Tag {
        /// Uid or e-mail address.
        user: String,
        tags: Vec<String>,
    },
    /// Make two accounts that are friends, and a group with both.
    #[command(skip)]
    Demo,
}

#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum DeadLettersAct {
    /// Show those that were not replayed yet, each with its reason.
    List {
        #[arg(long, default_value_t = 100)]
        count: u32,
    },
    /// Put them back on the log; what this version cannot read is passed over.
    Replay {
        #[arg(long, default_value_t = 100)]
        count: u32,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Ok(serde_json::Value),
    Failed { code: String, message: String },
}

/// Longest request or answer line.
const LINE_BYTES_MAX: u64 = 4 * 1024 * 1024;
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(10);
