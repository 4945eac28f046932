//! The data folder, and the names of the files a server keeps there for itself and for tools on the same machine. The
//! store's own files are the store's.

use anyhow::{Context, Result};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// The configuration, where no other file is named.
pub const CONFIG: &str = "skein.toml";
/// Whatever its roles, one server runs on a folder: it holds this file locked, with its process id inside.
pub const NODE_LOCK: &str = "node.lock";
/// Where administrators ask.
pub const ADMIN_SOCKET: &str = "admin.sock";
/// What the node listens on, as long as it runs.
pub const LISTENING: &str = "listening.json";
/// The secret all processes of a deployment share.
pub const INTERNAL_SECRET: &str = "internal.secret";
/// The API key made at the first start.
pub const PUSH_KEY: &str = "push-api.key";

/// Makes the folder with mode 0700 if it is not there.
pub fn ensure(data: &Path) -> Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data).with_context(|| format!("make the data folder {}", data.display()))
}
