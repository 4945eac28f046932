//! Where settings come from, and how one layer is laid over another.

use crate::folder::CONFIG;
use anyhow::{Context, Result};
use std::path::Path;

const ENV_PREFIX: &str = "SKEIN_";
const ENV_SEPARATOR: &str = "__";

pub(super) fn read_file(data: &Path, file: Option<&Path>) -> Result<toml::Table> {
    let path = file.map_or_else(|| data.join(CONFIG), Path::to_path_buf);
    match std::fs::read_to_string(&path) {
        Ok(text) => text.parse().with_context(|| format!("read {}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => Ok(toml::Table::new()),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// Variables with the separator only: others, such as SKEIN_PYTHON, are not configuration.
pub(super) fn environment(env: impl Iterator<Item = (String, String)>) -> Vec<(String, toml::Value)> {
    let settings = env.filter_map(|(name, text)| {
        let name = name.strip_prefix(ENV_PREFIX)?;
        let path = name.contains(ENV_SEPARATOR).then(|| name.to_lowercase().replace(ENV_SEPARATOR, "."))?;
        Some((path, parse_value(&text)))
    });
    settings.collect()
}

/// `8080`, `true`, `["gate"]` and `"text"` are TOML; anything else is text as it stands.
pub fn parse_value(text: &str) -> toml::Value {
    let parsed: Result<toml::Table, _> = format!("value = {text}").parse();
    parsed.ok().and_then(|mut table| table.remove("value")).unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

pub(super) fn merge(tree: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (tree.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => merge(below, above),
            (_, value) => {
                tree.insert(key, value);
            }
        }
    }
}

pub(super) fn set(tree: &mut toml::Table, path: &str, value: toml::Value) {
    match path.split_once('.') {
        None => {
            tree.insert(path.to_owned(), value);
        }
        Some((section, rest)) => {
            let entry = tree.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            if !entry.is_table() {
                *entry = toml::Value::Table(toml::Table::new());
            }
            if let toml::Value::Table(section) = entry {
                set(section, rest, value);
            }
        }
    }
}
