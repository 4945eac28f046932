//! The configuration as a log tells it: every secret left out.

use super::Config;

const REDACTED: &str = "…";

impl Config {
    /// For the log: every secret left out.
    pub fn redacted(&self) -> String {
        toml::to_string(&self.redacted_tree()).unwrap_or_default()
    }

    /// For the log, on one line: what is not as built in, every secret left out.
    pub fn changed(&self) -> String {
        let mut settings = Vec::new();
        differing("", &self.redacted_tree(), &Config::default().redacted_tree(), &mut settings);
        if settings.is_empty() { "all as built in".into() } else { settings.join(" ") }
    }

    fn redacted_tree(&self) -> toml::Value {
        let mut tree = toml::Value::try_from(self).unwrap_or(toml::Value::Table(Default::default()));
        redact(&mut tree);
        tree
    }
}

fn differing(path: &str, value: &toml::Value, default: &toml::Value, settings: &mut Vec<String>) {
    match (value, default) {
        (toml::Value::Table(table), toml::Value::Table(defaults)) => {
            for (key, value) in table {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let default = defaults.get(key).unwrap_or(&toml::Value::Boolean(false));
                differing(&path, value, default, settings);
            }
        }
        (value, default) if value != default => settings.push(format!("{path}={value}")),
        _ => {}
    }
}

fn redact(value: &mut toml::Value) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table.iter_mut() {
                let secret = ["password", "secret", "token", "key"].iter().any(|word| key.split('_').any(|part| part == *word));
                match value {
                    toml::Value::String(text) if secret && !text.is_empty() => *text = REDACTED.into(),
                    other => redact(other),
                }
            }
        }
        toml::Value::Array(items) => items.iter_mut().for_each(redact),
        toml::Value::String(text) => hide_user(text),
        _ => {}
    }
}

/// `scheme://user:password@host` without its user and password.
fn hide_user(text: &mut String) {
    let Some(from) = text.find("://").map(|at| at + 3) else { return };
    let to = text[from..].find(['/', '?', '#']).map_or(text.len(), |at| from + at);
    if let Some(at) = text[from..to].rfind('@') {
        text.replace_range(from..from + at, REDACTED);
    }
}
