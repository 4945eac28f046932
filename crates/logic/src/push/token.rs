//! What a goim client says of itself when it logs in: the JSON of op 7, read as Go's encoding/json reads it.
//!
//! Names match whatever their case, all are optional, unknown ones are ignored, `null` is the same as nothing, bytes that
//! are no UTF-8 are replaced. Unlike goim, `null` in place of the object is refused, and names have bounds.

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use skein_domain::live::{GuestKey, Mid, Operation, RoomName};
use skein_domain::{Code, Error, Result};

/// A body of goim's clients before log-in.
const BYTES_MAX: usize = 4_096;
const NAME_BYTES_MAX: usize = 64;
const TAGS_MAX: usize = 32;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Token {
    pub mid: Mid,
    pub key: Option<GuestKey>,
    pub room: Option<RoomName>,
    pub platform: String,
    pub accepts: Vec<Operation>,
    /// No field of goim's.
    pub tags: Vec<String>,
}

pub(super) fn read(bytes: &[u8]) -> Result<Token> {
    if bytes.len() > BYTES_MAX {
        return Err(bad("a log-in has at most 4096 bytes"));
    }
    let text = String::from_utf8_lossy(bytes);
    let mut json = serde_json::Deserializer::from_str(&text);
    let fields = json.deserialize_map(Fields::default()).and_then(|fields| json.end().map(|()| fields));
    fields.map_err(|_| bad("a log-in is a JSON object with mid, key, room_id, platform, accepts"))?.judged()
}

fn bad(message: &'static str) -> Error {
    Error::new(Code::BadRequest, message)
}

#[derive(Default)]
struct Fields {
    mid: i64,
    key: String,
    room: String,
    platform: String,
    accepts: Vec<Operation>,
    tags: Vec<String>,
}

impl<'de> Visitor<'de> for Fields {
    type Value = Fields;

    fn expecting(&self, text: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        text.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> std::result::Result<Fields, A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            match name.to_ascii_lowercase().as_str() {
                "mid" => set(&mut map, &mut self.mid)?,
                "key" => set(&mut map, &mut self.key)?,
                "room_id" => set(&mut map, &mut self.room)?,
                "platform" => set(&mut map, &mut self.platform)?,
                "tags" => set(&mut map, &mut self.tags)?,
                "accepts" => {
                    let accepts: Option<Vec<Option<Operation>>> = map.next_value()?;
                    self.accepts = accepts.into_iter().flatten().map(Option::unwrap_or_default).collect();
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(self)
    }
}

fn set<'de, A: MapAccess<'de>, T: serde::Deserialize<'de>>(map: &mut A, field: &mut T) -> std::result::Result<(), A::Error> {
    if let Some(value) = map.next_value()? {
        *field = value;
    }
    Ok(())
}

impl Fields {
    fn judged(self) -> Result<Token> {
        let Self { mid, key, room, platform, mut accepts, tags } = self;
        let key = if key.is_empty() { None } else { Some(GuestKey::parse(&key)?) };
        let room = if room.is_empty() { None } else { Some(RoomName::parse(&room)?) };
        let is_name = |text: &String| !text.is_empty() && text.len() <= NAME_BYTES_MAX;
        if platform.len() > NAME_BYTES_MAX || tags.len() > TAGS_MAX || !tags.iter().all(is_name) {
            return Err(bad("a platform has at most 64 bytes, and so has each of at most 32 tags"));
        }
        accepts.sort_unstable();
        accepts.dedup();
        Ok(Token { mid: Mid(mid), key, room, platform, accepts, tags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_optional_and_named_in_any_case() {
        let said = br#"{"MID":123,"Key":"k-1","room_ID":"live://1000","platform":"web","Accepts":[1001,1000,1001],"other":[{}]}"#;
        let token = Token {
            mid: Mid(123),
            key: Some(GuestKey::parse("k-1").unwrap()),
            room: Some(RoomName::parse("live://1000").unwrap()),
            platform: "web".into(),
            accepts: vec![1000, 1001],
            tags: vec![],
        };
        assert_eq!(read(said).unwrap(), token);
        for nothing in [&b"{}"[..], b" { } ", br#"{"mid":null,"key":null,"room_id":"","accepts":null}"#] {
            assert_eq!(read(nothing).unwrap(), Token::default());
        }
        assert_eq!(read(br#"{"mid":1,"MID":2,"accepts":[null]}"#).unwrap().mid, Mid(2), "the last one counts");
        let replaced = read(b"{\"platform\":\"\xff\"}").unwrap();
        assert_eq!(replaced.platform, "\u{fffd}");
        assert_eq!(read(br#"{"tags":["beta"]}"#).unwrap().tags, ["beta"]);
    }

    #[test]
    fn what_is_no_log_in_is_refused() {
        let long = format!("{{\"key\":\"{}\"}}", "k".repeat(GuestKey::BYTES_MAX + 1));
        let padded = format!("{{}}{}", " ".repeat(BYTES_MAX));
        let deep = format!("{{\"x\":{}", "[".repeat(4_000));
        let refused = [
            "",
            "null",
            "[]",
            "7",
            "\"mid\"",
            "{",
            "{}{}",
            "{\"mid\":\"5\"}",
            "{\"mid\":1.5}",
            "{\"mid\":9223372036854775808}",
            "{\"accepts\":1000}",
            "{\"accepts\":[2147483648]}",
            "{\"key\":7}",
            "{\"key\":\"a\\u0000b\"}",
            "{\"tags\":[\"\"]}",
            &long,
            &padded,
            &deep,
        ];
        for said in refused {
            assert_eq!(read(said.as_bytes()).unwrap_err().code, Code::BadRequest, "{said}");
        }
    }
}
