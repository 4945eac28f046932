//! Reading JSON that somebody else wrote, and saying in plain words what is wrong with it.
//!
//! **Invariant:** a fault names the field (`body.segments[1].text`) and what it must be; no word of Rust or of a library
//! reaches a caller, and of the input only names of fields.
//!
//! Well-formed text costs one pass. What is wrong is read once more, as a tree, to find the place.

mod fault;
mod node;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value};

use crate::error::ErrorCode;
use node::Node;

pub use fault::Fault;

/// Why a text was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("the text is not JSON: look at line {line}, column {column}")]
    Syntax { line: usize, column: usize },
    /// JSON, of the wrong shape.
    #[error("{0}")]
    Shape(Fault),
}

impl JsonError {
    pub fn code(&self) -> ErrorCode {
        match self {
            JsonError::Syntax { .. } => ErrorCode::BadJson,
            JsonError::Shape(_) => ErrorCode::BadRequest,
        }
    }

    pub(crate) fn syntax(error: &serde_json::Error) -> Self {
        JsonError::Syntax { line: error.line(), column: error.column() }
    }

    pub(crate) fn field(name: &'static str, problem: impl Into<String>) -> Self {
        JsonError::Shape(Fault::here(problem).in_field(name))
    }

    pub(crate) fn twice() -> Self {
        Self::whole("has a field twice")
    }

    fn whole(problem: &str) -> Self {
        JsonError::Shape(Fault::here(problem))
    }
}

/// Reads a JSON object. Messages of the schema take nothing but objects inside it either; for structs with a derived reader,
/// which take an array of their fields as well, see [`from_strict_json_object`].
pub fn from_json_object<T: DeserializeOwned>(text: &[u8]) -> Result<T, JsonError> {
    if starts_an_object(text)
        && let Ok(read) = serde_json::from_slice(text)
    {
        return Ok(read);
    }
    let tree = tree(text)?;
    match T::deserialize(Node::of(&tree)) {
        Err(fault) => Err(JsonError::Shape(fault)),
        // A tree has each field once, so that is what was wrong with the text.
        Ok(_) => Err(JsonError::twice()),
    }
}

/// As [`from_json_object`], and everything inside that is an object must be written as one.
pub fn from_strict_json_object<T: DeserializeOwned>(text: &[u8]) -> Result<T, JsonError> {
    from_json_object::<T>(text)?;
    T::deserialize(Node::of(&tree(text)?)).map_err(JsonError::Shape)
}

/// Reads the parameters of a query, in which numbers are text as well.
pub fn from_parameters<T: DeserializeOwned>(parameters: Vec<(String, String)>) -> Result<T, JsonError> {
    let mut fields = Map::new();
    for (name, text) in parameters {
        if fields.insert(name.clone(), Value::String(text)).is_some() {
            return Err(JsonError::Shape(Fault::here("is there twice").in_field(&name)));
        }
    }
    T::deserialize(Node::of_text(&Value::Object(fields))).map_err(JsonError::Shape)
}

pub(crate) fn starts_an_object(text: &[u8]) -> bool {
    text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

fn tree(text: &[u8]) -> Result<Value, JsonError> {
    serde_json::from_slice::<IgnoredAny>(text).map_err(|error| JsonError::syntax(&error))?;
    if !starts_an_object(text) {
        return Err(JsonError::whole("must be a JSON object"));
    }
    // The only thing a tree minds in text that is JSON.
    serde_json::from_slice(text).map_err(|_| JsonError::whole("is nested too deeply or has a number out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;
    use serde::Deserialize;
    use std::fmt;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        name: String,
        #[serde(default)]
        count: u8,
        #[serde(default)]
        inner: Option<Inner>,
        #[serde(default)]
        parts: Vec<Part>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        on: bool,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Part {
        Text(String),
        Mention(Inner),
        Nothing,
    }

    fn fault<T: DeserializeOwned + fmt::Debug>(text: &str) -> String {
        from_strict_json_object::<T>(text.as_bytes()).expect_err(text).to_string()
    }

    #[test]
    fn what_is_right_is_read() {
        let text = r#"{"name":"a","count":7,"inner":{"on":true},"parts":[{"text":"x"},{"mention":{"on":false}},"nothing"],"more":[1]}"#;
        let parts = vec![Part::Text("x".into()), Part::Mention(Inner { on: false }), Part::Nothing];
        let wanted = Outer { name: "a".into(), count: 7, inner: Some(Inner { on: true }), parts };
        assert_eq!(from_strict_json_object::<Outer>(text.as_bytes()), Ok(wanted));
        assert_eq!(from_json_object::<Outer>(br#" {"name":"a","inner":null}"#).map(|outer| outer.inner), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_named_in_plain_words() {
        let table = [
            ("{}", "name is missing"),
            ("null", "the message must be a JSON object"),
            ("[]", "the message must be a JSON object"),
            (r#"["a"]"#, "the message must be a JSON object"),
            (r#"{"name":1}"#, "name must be text"),
            (r#"{"name":{}}"#, "name must be text"),
            (r#"{"name":"a","count":"7"}"#, "count must be a whole number"),
            (r#"{"name":"a","count":256}"#, "count must be a whole number in its range"),
            (r#"{"name":"a","count":1.5}"#, "count must be a whole number in its range"),
            (r#"{"name":"a","inner":{"on":1}}"#, "inner.on must be true or false"),
            (r#"{"name":"a","inner":{}}"#, "inner.on is missing"),
            (r#"{"name":"a","inner":[true]}"#, "inner must be an object"),
            (r#"{"name":"a","parts":{}}"#, "parts must be a list"),
            (r#"{"name":"a","parts":["nothing",{"text":1}]}"#, "parts[1].text must be text"),
            (r#"{"name":"a","parts":[{"mention":[true]}]}"#, "parts[0].mention must be an object"),
            (r#"{"name":"a","parts":[{"mention":{}}]}"#, "parts[0].mention.on is missing"),
            (r#"{"name":"a","parts":[{"fly":1}]}"#, "parts[0] must be one of text, mention, nothing"),
            (r#"{"name":"a","parts":["text"]}"#, "parts[0] must be an object with the field text"),
            (r#"{"name":"a","parts":[7]}"#, "parts[0] must be one of text, mention, nothing"),
            (r#"{"name":"a","name":"b"}"#, "the message has a field twice"),
            ("{\n\"name\" 1}", "the text is not JSON: look at line 2, column 8"),
        ];
        for (text, wanted) in table {
            assert_eq!(fault::<Outer>(text), wanted, "{text}");
        }
        let deep = format!(r#"{{"name":"a","inner":{{"on":{}1{}}}}}"#, "[".repeat(200), "]".repeat(200));
        assert_eq!(fault::<Outer>(&deep), "the message is nested too deeply or has a number out of range");
        let long = format!(r#"{{"name":"a","inner":{{"on":{{"{}":1}}}}}}"#, "x".repeat(10_000));
        assert!(fault::<Outer>(&long).len() < 100);
    }

    #[test]
    fn parameters_are_text_also_where_a_number_is_meant() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Page {
            #[serde(default)]
            cursor: String,
            count: Option<u32>,
            on: Option<bool>,
        }
        let read = |pairs: &[(&str, &str)]| {
            from_parameters::<Page>(pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
        };
        let wanted = Page { cursor: "7".into(), count: Some(7), on: Some(true) };
        assert_eq!(read(&[("cursor", "7"), ("count", "7"), ("on", "true"), ("more", "x")]), Ok(wanted));
        let told = |pairs: &[(&str, &str)]| read(pairs).unwrap_err().to_string();
        assert_eq!(told(&[("count", "x")]), "count must be a whole number");
        assert_eq!(told(&[("count", "-1")]), "count must be a whole number in its range");
        assert_eq!(told(&[("count", "1.5")]), "count must be a whole number in its range");
        assert_eq!(told(&[("count", "[1]")]), "count must be a whole number");
        assert_eq!(told(&[("on", "1")]), "on must be true or false");
        assert_eq!(told(&[("count", "1"), ("count", "2")]), "count is there twice");
    }

    #[test]
    fn messages_of_the_schema_are_explained_alike() {
        let table = [
            (r#"{"conversation":{}}"#, "conversation must be a number, or the same as a decimal string, in its range"),
            (r#"{"conversation":"x"}"#, "conversation must be a number, or the same as a decimal string, in its range"),
            (r#"{"key":1}"#, "key must be text"),
            (r#"{"body":[]}"#, "body must be an object"),
            (r#"{"body":{"segments":[{"text":"a"},{"text":1}]}}"#, "body.segments[1].text must be text"),
            (r#"{"body":{"segments":[{"mention":[]}]}}"#, "body.segments[0].mention must be an object"),
        ];
        for (text, wanted) in table {
            let error = from_json_object::<v1::Send>(text.as_bytes()).expect_err(text);
            assert_eq!((error.to_string().as_str(), error.code()), (wanted, ErrorCode::BadRequest), "{text}");
        }
    }
}
