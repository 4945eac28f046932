//! A tree of JSON as a reader of serde sees it: what a reader does not take is a [`Fault`] that knows its place.

use super::fault::Fault;
use serde::de::{DeserializeSeed, EnumAccess, Error as _, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::{Map, Value};

#[derive(Clone, Copy)]
pub(super) struct Node<'de> {
    value: &'de Value,
    /// Everything is written as text, numbers too.
    is_text: bool,
}

impl<'de> Node<'de> {
    pub(super) fn of(value: &'de Value) -> Self {
        Self { value, is_text: false }
    }

    pub(super) fn of_text(value: &'de Value) -> Self {
        Self { value, is_text: true }
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
