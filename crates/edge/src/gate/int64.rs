//! 64-bit numbers in JSON: decimal strings on output, strings or numbers on input, as in the wire protocol.
//!
//! A JSON number above 2^53 silently changes in many clients; a string does not.

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use skein_domain::id::{ConversationId, CountNo, Millis, RequestId, Seq, SessionId, Uid};
use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// An id, a seq or a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Int64(pub i64);

impl Serialize for Int64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Int64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Int64Visitor)
    }
}

struct Int64Visitor;

impl Visitor<'_> for Int64Visitor {
    type Value = Int64;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a 64-bit whole number, or the same as a decimal string")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Int64, E> {
        Ok(Int64(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Int64, E> {
        i64::try_from(number).map(Int64).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Int64, E> {
        text.parse().map(Int64).map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl ToSchema for Int64 {
    fn name() -> std::borrow::Cow<'static, str> {
        "Int64".into()
    }
}

impl PartialSchema for Int64 {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .description(Some("64-bit whole number as a decimal string; a JSON number is accepted on input"))
            .into()
    }
}

macro_rules! both_ways {
    ($($id:ident),*) => {$(
        impl From<$id> for Int64 {
            fn from(id: $id) -> Self {
                Int64(id.0)
            }
        }

        impl From<Int64> for $id {
            fn from(number: Int64) -> Self {
                $id(number.0)
            }
        }
    )*};
}

both_ways!(ConversationId, CountNo, Millis, RequestId, Seq, SessionId, Uid);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_leave_as_strings_and_come_as_either() {
        assert_eq!(serde_json::to_string(&Int64(i64::MIN)).unwrap(), "\"-9223372036854775808\"");
        for text in ["7", "\"7\""] {
            assert_eq!(serde_json::from_str::<Int64>(text).unwrap(), Int64(7));
        }
    }

    #[test]
    fn what_is_no_64_bit_number_is_refused() {
        for text in ["1.5", "\"1.5\"", "9223372036854775808", "\"9223372036854775808\"", "true", "null", "\"\"", "\" 7\"", "[7]"] {
            assert!(serde_json::from_str::<Int64>(text).is_err(), "{text}");
        }
    }
}
