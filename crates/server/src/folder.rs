//! The data folder, and the names of the files a server keeps there for itself and for tools on the same machine. The
//! store's own files are the store's.

use anyhow::{Context, Result};
use std::fs::{File, TryLockError};
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

/// Whether a server runs on the folder, whatever its roles. Looking shares its lock for an instant, shorter than a start waits.
pub fn is_in_use(data: &Path) -> bool {
    File::open(data.join(NODE_LOCK)).is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_in_use_as_long_as_its_lock_is_held() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(!is_in_use(folder.path()));
        let lock = skein_storage::sqlite::lock(folder.path(), NODE_LOCK).expect("the lock");
        assert!(is_in_use(folder.path()));
        lock.unlock().expect("given back");
        assert!(!is_in_use(folder.path()));
    }
}
