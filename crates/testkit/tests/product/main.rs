//! The product from outside: real server processes, real sockets, and peers that somebody else wrote.
//!
//! What an id of docs/requirements.md promises and no smaller test can show is shown here. One module per area:
//!
//! - [`accounts`]: from an e-mail code to a log-out, what is typed into it, and what stays behind.
//! - [`administer`]: what an operator types, and what people see of it.
//! - [`availability`]: how often one can speak although the server is killed again and again.
//! - [`bot`]: the SDK's example, as somebody to talk to.
//! - [`chat`]: order, restarts, cut links, whoever is away.
//! - [`connections`]: threads, heartbeats, kicks, and what is left when somebody leaves.
//! - [`contacts`]: friendship live, and long lists.
//! - [`disk`]: the embedded store on a disk that fails or is full.
//! - [`first_message`]: from an empty folder to a message between two terminals.
//! - [`former`]: what somebody who was removed still sees.
//! - [`goim`]: a client of goim's own protocol.
//! - [`long`]: in the long run, and in a crowd; in full in `cargo xtask soak`.
//! - [`operate`]: configuration, the data folder, administration, metrics.
//! - [`process`]: start-up, memory, signals, the lock of the folder, limits of the system.
//! - [`push`]: the push platform, by goim's calls and ours.
//! - [`roles`]: more than one process.
//! - [`third_party`]: the Python package `websockets` as the client.
//! - [`runtime`]: the clean-up, the one instance and the pool that the product gets from Rust and tokio.
//!
//! **Invariant:** every test has a server and a folder of its own, and waits for conditions, never for time to pass.

mod accounts;
mod administer;
mod availability;
mod bot;
mod chat;
mod connections;
mod contacts;
mod disk;
mod first_message;
mod former;
mod http;
mod line;
mod long;
mod operate;
mod peers;
mod process;
mod push;
mod roles;
mod runtime;
mod third_party;
mod town;
