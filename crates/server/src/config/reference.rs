//! The configuration reference of the operator guide, generated from the configuration types.

use super::Config;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Markdown: a table per section, with each key's type, default and meaning.
pub fn markdown() -> String {
    let schema = schemars::schema_for!(Config).to_value();
    let definitions = schema.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut page = String::new();
    for (name, reference) in properties(&schema) {
        let default = defaults.get(name).unwrap_or(&Value::Null);
        section(&mut page, name, reference, default, &definitions);
    }
    page
}

/// A section, and after it the tables inside it.
fn section(page: &mut String, path: &str, reference: &Value, defaults: &Value, definitions: &Map<String, Value>) {
    let definition = resolve(reference, definitions);
    let about = sentence(reference).or(sentence(definition)).unwrap_or_default();
    let _ = writeln!(page, "### `[{path}]`\n\n{about}\n");
    let (inner, keys): (Vec<_>, Vec<_>) = properties(definition).partition(|(key, _)| is_section(defaults.get(key.as_str())));
    if !keys.is_empty() {
        let _ = writeln!(page, "| key | type | default | meaning |\n|---|---|---|---|");
    }
    for (key, property) in keys {
        let default = defaults.get(key).unwrap_or(&Value::Null);
        let meaning = sentence(property).unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        let _ = writeln!(page, "| `{key}` | {} | `{default}` | {meaning} |", kind(property, definitions));
    }
    page.push('\n');
    for (key, property) in inner {
        section(page, &format!("{path}.{key}"), property, defaults.get(key).unwrap_or(&Value::Null), definitions);
    }
}

/// Small tables, such as a rate, are values; larger ones have a section of their own.
fn is_section(default: Option<&Value>) -> bool {
    default.and_then(Value::as_object).is_some_and(|table| table.len() > 2)
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn sentence(schema: &Value) -> Option<String> {
    schema.get("description").and_then(Value::as_str).map(str::to_owned)
}

fn resolve<'a>(schema: &'a Value, definitions: &'a Map<String, Value>) -> &'a Value {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.rsplit('/').next());
    name.and_then(|name| definitions.get(name)).unwrap_or(schema)
}

fn kind(schema: &Value, definitions: &Map<String, Value>) -> String {
    let schema = resolve(schema, definitions);
    if let Some(choices) = schema.get("enum").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
        let names: Vec<_> = choices.iter().filter_map(|c| c.as_str().or(c.get("const")?.as_str())).map(|c| format!("`{c}`")).collect();
        return names.join(", ");
    }
    match schema.get("type") {
        Some(Value::String(kind)) if kind == "array" => "list".into(),
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).filter(|k| *k != "null").collect::<Vec<_>>().join(" or "),
        _ => "table".into(),
    }
}
