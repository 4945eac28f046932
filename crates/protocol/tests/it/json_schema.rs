//! `schema/skein.schema.json`: what payloads look like in JSON, made from the schema and the table.

use std::collections::HashMap;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use serde_json::{Map, Value, json};
use skein_protocol::schema::DESCRIPTOR_SET;
use skein_protocol::table::{PUSHES, REQUESTS};

use crate::{here, read, updating};

const PATH: &str = "schema/skein.schema.json";

#[test]
fn the_json_schema_is_that_of_the_messages() {
    let expected = generate();
    if updating() {
        let text = serde_json::to_string_pretty(&expected).expect("json") + "\n";
        std::fs::write(here(PATH), text).expect("write the schema");
    }
    let found: Value = serde_json::from_str(&read(PATH)).expect("json");
    assert!(found == expected, "{PATH} is out of date: run the tests of skein-protocol with UPDATE=1");
}

/// The payloads of the golden vectors keep to the schema; a field of theirs that it does not know is a mistake of one of both.
#[test]
fn the_json_schema_describes_the_vectors() {
    let schema = generate();
    let vectors: Vec<Value> = serde_json::from_str(&read("vectors/ops.json")).expect("ops.json");
    for vector in &vectors {
        let direction = if vector["kind"] == "request" { "clientToServer" } else { "serverToClient" };
        let envelopes = schema["$defs"][direction]["oneOf"].as_array().expect("envelopes");
        let envelope = envelopes
            .iter()
            .find(|envelope| envelope["properties"]["type"]["const"] == vector["type"])
            .unwrap_or_else(|| panic!("{} is not in {direction}", vector["type"]));
        conforms(&schema, &envelope["properties"]["payload"], &vector["payload"]);
    }
}

fn generate() -> Value {
    let files = FileDescriptorSet::decode(DESCRIPTOR_SET).expect("descriptors");
    let file = files.file.iter().find(|file| file.package() == "skein.v1").expect("package");
    let comments = comments(file);
    let mut definitions = Map::new();
    for (at, message) in file.message_type.iter().enumerate() {
        definitions.insert(message.name().to_owned(), of_message(message, at as i32, &comments));
    }
    for (at, values) in file.enum_type.iter().enumerate() {
        definitions.insert(values.name().to_owned(), of_enum(values, at as i32, &comments));
    }
    definitions.insert("clientToServer".to_owned(), client_to_server());
    definitions.insert("serverToClient".to_owned(), server_to_client());
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Skein client protocol",
        "description": "WebSocket text messages, and the bodies of frames with the JSON codec. Generated from skein.proto and the op table. Fields at their default are left out; unknown fields are ignored; snake_case names are accepted on input.",
        "anyOf": [{ "$ref": "#/$defs/clientToServer" }, { "$ref": "#/$defs/serverToClient" }],
        "$defs": definitions,
    })
}

fn client_to_server() -> Value {
    let envelopes: Vec<Value> = REQUESTS.iter().map(|row| of_envelope(row.name, row.message, row.meaning, &["type"])).collect();
    json!({ "description": "What a client sends.", "oneOf": envelopes })
}

fn server_to_client() -> Value {
    let mut names = Vec::new();
    let mut envelopes = Vec::new();
    let replies = REQUESTS.iter().map(|row| (row.reply_name, row.reply_message, "A reply; `seq` names the request."));
    let pushes = PUSHES.iter().map(|row| (row.name, row.message, row.meaning));
    for (name, message, meaning) in replies.chain(pushes) {
        if !names.contains(&name) {
            names.push(name);
            envelopes.push(of_envelope(name, message, meaning, &["type", "seq", "payload"]));
        }
    }
    json!({ "description": "What a server sends.", "oneOf": envelopes })
}

fn of_envelope(name: &str, message: &str, meaning: &str, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "description": meaning,
        "properties": {
            "type": { "const": name },
            "seq": { "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX },
            "payload": { "$ref": format!("#/$defs/{message}") },
        },
        "required": required,
    })
}

type Comments = HashMap<Vec<i32>, String>;

/// Comments of the `.proto` by the path of what they stand before (`SourceCodeInfo` in descriptor.proto).
fn comments(file: &FileDescriptorProto) -> Comments {
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    locations
        .filter_map(|location| {
            let text = location.leading_comments.as_deref()?.split_whitespace().collect::<Vec<_>>().join(" ");
            Some((location.path.clone(), text))
        })
        .collect()
}

fn of_message(message: &DescriptorProto, at: i32, comments: &Comments) -> Value {
    let mut properties = Map::new();
    for (index, field) in message.field.iter().enumerate() {
        let mut schema = of_field(field);
        describe(&mut schema, comments.get(&vec![4, at, 2, index as i32]));
        properties.insert(field.json_name().to_owned(), schema);
    }
    let mut schema = json!({ "type": "object", "properties": properties });
    let excluded = excluded_pairs(message);
    if !excluded.is_empty() {
        schema["not"] = json!({ "anyOf": excluded });
    }
    describe(&mut schema, comments.get(&vec![4, at]));
    schema
}

/// At most one field of a oneof may be there. `optional` fields are oneofs of one in the descriptor.
fn excluded_pairs(message: &DescriptorProto) -> Vec<Value> {
    let choices: Vec<&FieldDescriptorProto> =
        message.field.iter().filter(|field| field.oneof_index.is_some() && !field.proto3_optional()).collect();
    let mut pairs = Vec::new();
    for (at, first) in choices.iter().enumerate() {
        for second in &choices[at + 1..] {
            if first.oneof_index == second.oneof_index {
                pairs.push(json!({ "required": [first.json_name(), second.json_name()] }));
            }
        }
    }
    pairs
}

fn of_field(field: &FieldDescriptorProto) -> Value {
    let one = match field.r#type() {
        Type::Message | Type::Enum => {
            let name = field.type_name().rsplit('.').next().expect("a type name");
            json!({ "$ref": format!("#/$defs/{name}") })
        }
        Type::Bool => json!({ "type": "boolean" }),
        Type::String => json!({ "type": "string" }),
        Type::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
        Type::Int64 => json!({ "type": ["string", "integer"], "pattern": "^-?[0-9]{1,19}$" }),
        Type::Uint64 | Type::Fixed64 => json!({ "type": ["string", "integer"], "pattern": "^[0-9]{1,20}$" }),
        Type::Int32 => json!({ "type": "integer", "minimum": i32::MIN, "maximum": i32::MAX }),
        Type::Uint32 => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
        other => panic!("{}: teach this generator the type {other:?}", field.name()),
    };
    match field.label() {
        Label::Repeated => json!({ "type": "array", "items": one }),
        Label::Optional | Label::Required => one,
    }
}

fn of_enum(values: &EnumDescriptorProto, at: i32, comments: &Comments) -> Value {
    let names: Vec<&str> = values.value.iter().map(|value| value.name()).collect();
    let mut schema = json!({ "enum": names });
    describe(&mut schema, comments.get(&vec![5, at]));
    schema
}

fn describe(schema: &mut Value, comment: Option<&String>) {
    if let Some(comment) = comment {
        schema["description"] = json!(comment);
    }
}

/// As much of a JSON Schema validator as the generated schema needs, and stricter: unknown fields are refused.
fn conforms(root: &Value, schema: &Value, value: &Value) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.strip_prefix("#/$defs/").expect("a local reference");
        return conforms(root, &root["$defs"][name], value);
    }
    if let Some(names) = schema["enum"].as_array() {
        assert!(names.contains(value), "{value} is none of {names:?}");
        return;
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => vec![kind.as_str().expect("a type")],
    };
    assert!(kinds.contains(&kind_of(value)), "{value} is none of {kinds:?}");
    match value {
        Value::Array(items) => items.iter().for_each(|item| conforms(root, &schema["items"], item)),
        Value::Object(fields) => {
            for (name, field) in fields {
                let property = &schema["properties"][name.as_str()];
                assert!(!property.is_null(), "{name} is not in the schema");
                conforms(root, property, field);
            }
        }
        _ => {}
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
