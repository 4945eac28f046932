//! Secrets the node makes for itself at first start: random, kept in the data folder, readable by the owner alone.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// 256 random bits as text; the same at every start.
pub fn load_or_make(path: &Path) -> Result<String> {
    match std::fs::read_to_string(path) {
        Ok(secret) => {
            let mode = std::fs::metadata(path).context("read the mode of a secret")?.permissions().mode();
            if mode & 0o077 != 0 {
                tracing::warn!(path = %path.display(), "secret is readable by others: chmod 600");
            }
            Ok(secret.trim().to_owned())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(path),
        Err(error) => Err(error).with_context(|| format!("read the secret {}", path.display())),
    }
}

fn make(path: &Path) -> Result<String> {
    let secret = random()?;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("make the secret {}", path.display()))?;
    let mut write = || -> std::io::Result<()> {
        writeln!(file, "{secret}")?;
        file.sync_all()?;
        // Its name is not durable before the folder is: another secret after a power cut would lock out the other nodes.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        std::fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().with_context(|| format!("write the secret {}", path.display()))?;
    Ok(secret)
}

pub fn random() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("ask the system for random bits")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.secret");
        let secret = load_or_make(&path).unwrap();
        assert_eq!(secret.len(), 43);
        assert_eq!(load_or_make(&path).unwrap(), secret);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(load_or_make(&folder.path().join("b.secret")).unwrap(), secret);
    }
}
