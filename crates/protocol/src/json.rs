//! Reading JSON that somebody else wrote, and saying in plain words what is wrong with it.
//!
//! **Invariant:** a fault names the field (`body.segments[1].text`) and what it must be; no word of Rust or of a library
//! reaches a caller, and of the input only names of fields.
//!
//! Well-formed text costs one pass. What is wrong is read once more, as a tree, to find the place.

use serde::de::{
    DeserializeOwned, DeserializeSeed, EnumAccess, Error as _, Expected, IgnoredAny, MapAccess, SeqAccess, Unexpected, VariantAccess,
    Visitor,
};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::{Map, Value};
use std::fmt;

use crate::error::ErrorCode;

/// Characters of a peer's field name that are quoted.
const QUOTED_CHARS_MAX: usize = 64;

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
        JsonError::Shape(Fault { path: vec![Step::Field(name.to_owned())], problem: problem.into() })
    }

    pub(crate) fn twice() -> Self {
        Self::whole("has a field twice")
    }

    fn whole(problem: &str) -> Self {
        JsonError::Shape(Fault { path: Vec::new(), problem: problem.to_owned() })
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
    T::deserialize(Node { value: &Value::Object(fields), is_text: true }).map_err(JsonError::Shape)
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

// === what is wrong, and where ===

/// A place in a JSON object, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// From the outside in.
    path: Vec<Step>,
    problem: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Item(usize),
}

impl Fault {
    fn here(problem: impl Into<String>) -> Self {
        Self { path: Vec::new(), problem: problem.into() }
    }

    fn must_be(what: &str) -> Self {
        Self::here(format!("must be {what}"))
    }

    fn in_field(mut self, name: &str) -> Self {
        self.path.insert(0, Step::Field(name.chars().take(QUOTED_CHARS_MAX).collect()));
        self
    }

    fn in_item(mut self, nth: usize) -> Self {
        self.path.insert(0, Step::Item(nth));
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str("the message")?;
        }
        for (depth, step) in self.path.iter().enumerate() {
            match step {
                Step::Field(name) if depth == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Item(nth) => write!(f, "[{nth}]")?,
            }
        }
        write!(f, " {}", self.problem)
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    /// Of readers with a rule of their own. What the standard library says of numbers is said in our words.
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        let of_numbers = ["invalid digit", "number too", "cannot parse", "invalid float", "number would be", "data did not match"];
        if of_numbers.iter().any(|start| message.starts_with(start)) {
            return Self::must_be("a number, or the same as a decimal string, in its range");
        }
        Self::here(format!("is wrong: {message}"))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::must_be(&plain(expected))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::must_be(&plain(expected))
    }

    fn invalid_length(_: usize, _: &dyn Expected) -> Self {
        Self::here("has the wrong number of items")
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::must_be(&format!("one of {}", known.join(", ")))
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Self::here("is not known here").in_field(field)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::here("is missing").in_field(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::here("is there twice").in_field(field)
    }
}

/// What a reader expects, without the names of Rust's types.
fn plain(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.split(' ').next().unwrap_or_default() {
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" | "integer" => "a whole number in its range".into(),
        "f32" | "f64" => "a number".into(),
        "struct" | "map" | "newtype" | "enum" => "an object".into(),
        _ if text == "a string" => "text".into(),
        _ => text,
    }
}

// === the tree as serde sees it ===

#[derive(Clone, Copy)]
struct Node<'de> {
    value: &'de Value,
    /// Everything is written as text, numbers too.
    is_text: bool,
}

impl<'de> Node<'de> {
    fn of(value: &'de Value) -> Self {
        Self { value, is_text: false }
    }
}

fn scalar<'de, V: Visitor<'de>>(value: &Value, visitor: V) -> Result<V::Value, Fault> {
    match value {
        Value::Bool(value) => visitor.visit_bool(*value),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => visitor.visit_u64(number),
            (_, Some(number)) => visitor.visit_i64(number),
            _ => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
        },
        _ => visitor.visit_unit(),
    }
}

macro_rules! only {
    ($($method:ident $kind:pat => $what:literal),+ $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.value {
                $kind => self.deserialize_any(visitor),
                _ => Err(Fault::must_be($what)),
            }
        }
    )+};
}

macro_rules! only_scalars {
    ($($method:ident $kind:pat => $what:literal),+ $(,)?) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            match self.value {
                $kind => scalar(self.value, visitor),
                Value::String(text) if self.is_text => match serde_json::from_str(text) {
                    Ok(value @ $kind) => scalar(&value, visitor),
                    _ => Err(Fault::must_be($what)),
                },
                _ => Err(Fault::must_be($what)),
            }
        }
    )+};
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Null | Value::Bool(_) | Value::Number(_) => scalar(self.value, visitor),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(Items { left: items.iter().enumerate() }),
            Value::Object(fields) => visitor.visit_map(Fields { left: fields.iter(), value: None, is_text: self.is_text }),
        }
    }

    only_scalars! {
        deserialize_bool Value::Bool(_) => "true or false",
        deserialize_i8 Value::Number(_) => "a whole number",
        deserialize_i16 Value::Number(_) => "a whole number",
        deserialize_i32 Value::Number(_) => "a whole number",
        deserialize_i64 Value::Number(_) => "a whole number",
        deserialize_u8 Value::Number(_) => "a whole number",
        deserialize_u16 Value::Number(_) => "a whole number",
        deserialize_u32 Value::Number(_) => "a whole number",
        deserialize_u64 Value::Number(_) => "a whole number",
        deserialize_f32 Value::Number(_) => "a number",
        deserialize_f64 Value::Number(_) => "a number",
    }

    only! {
        deserialize_char Value::String(_) => "one character",
        deserialize_str Value::String(_) => "text",
        deserialize_string Value::String(_) => "text",
        deserialize_seq Value::Array(_) => "a list",
        deserialize_map Value::Object(_) => "an object",
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, known: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::String(name) => visitor.visit_enum(Choice { name, value: None }),
            Value::Object(fields) if fields.len() == 1 => match fields.iter().next() {
                Some((name, value)) => visitor.visit_enum(Choice { name, value: Some(Node::of(value)) }),
                None => Err(Fault::unknown_variant("", known)),
            },
            _ => Err(Fault::must_be(&format!("one of {}", known.join(", ")))),
        }
    }

    forward_to_deserialize_any! { i128 u128 bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any }
}

struct Items<'de> {
    left: std::iter::Enumerate<std::slice::Iter<'de, Value>>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some((nth, item)) = self.left.next() else { return Ok(None) };
        seed.deserialize(Node::of(item)).map(Some).map_err(|fault| fault.in_item(nth))
    }
}

struct Fields<'de> {
    left: <&'de Map<String, Value> as IntoIterator>::IntoIter,
    value: Option<(&'de str, &'de Value)>,
    is_text: bool,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some((name, value)) = self.left.next() else { return Ok(None) };
        self.value = Some((name, value));
        seed.deserialize(serde::de::value::BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        match self.value.take() {
            Some((name, value)) => seed.deserialize(Node { value, is_text: self.is_text }).map_err(|fault| fault.in_field(name)),
            None => Err(Fault::must_be("an object")),
        }
    }
}

/// A word, or an object with one field whose name is the word.
struct Choice<'de> {
    name: &'de str,
    value: Option<Node<'de>>,
}

impl<'de> Choice<'de> {
    fn value(&self) -> Result<Node<'de>, Fault> {
        self.value.ok_or_else(|| Fault::must_be(&format!("an object with the field {}", self.name)))
    }
}

impl<'de> EnumAccess<'de> for Choice<'de> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Fault> {
        let name = serde::de::value::BorrowedStrDeserializer::new(self.name);
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Choice<'de> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.value {
            None | Some(Node { value: Value::Null, .. }) => Ok(()),
            Some(_) => Err(Fault::must_be("a word")),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fault> {
        seed.deserialize(self.value()?).map_err(|fault| fault.in_field(self.name))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        self.value()?.deserialize_seq(visitor).map_err(|fault| fault.in_field(self.name))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        self.value()?.deserialize_map(visitor).map_err(|fault| fault.in_field(self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;
    use serde::Deserialize;

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
