//! What a message says: a kind and a structured body, so that new kinds need no migration.
//!
//! Text is a list of segments; no offset into a string is ever needed. A kind this build does not know travels
//! unchanged and shows its fallback.

use crate::id::Uid;
use crate::{Code, Error, Result};
use serde::{Deserialize, Serialize};

pub const KIND_TEXT: &str = "text";
/// Reserved for end-to-end encryption, and refused until there is one: what is stored under it now would mean nothing then.
pub const KIND_ENCRYPTED: &str = "encrypted";

const KIND_BYTES_MAX: usize = 32;
const SEGMENTS_MAX: usize = 256;
const FALLBACK_BYTES_MAX: usize = 1_024;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    pub kind: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<Segment>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fallback: String,
    /// Kind-specific JSON object as text; empty for text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub payload: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    Text(String),
    /// `None` mentions everybody.
    Mention(Option<Uid>),
    Link(String),
}

impl Body {
    pub fn text(text: impl Into<String>) -> Self {
        Self { kind: KIND_TEXT.into(), segments: vec![Segment::Text(text.into())], fallback: String::new(), payload: String::new() }
    }

    /// What a client shows that knows nothing but text.
    pub fn plain(&self) -> String {
        if self.segments.is_empty() {
            return self.fallback.clone();
        }
        let mut plain = String::new();
        for segment in &self.segments {
            match segment {
                Segment::Text(text) | Segment::Link(text) => plain.push_str(text),
                Segment::Mention(Some(uid)) => plain.push_str(&format!("@{uid}")),
                Segment::Mention(None) => plain.push_str("@all"),
            }
        }
        plain
    }

    /// Bytes of user content; what the size limit counts.
    pub fn bytes(&self) -> usize {
        let segments: usize = self
            .segments
            .iter()
            .map(|s| match s {
                Segment::Text(text) | Segment::Link(text) => text.len(),
                Segment::Mention(_) => 8,
            })
            .sum();
        segments + self.fallback.len() + self.payload.len()
    }

    pub fn check(&self, text_bytes_max: u32) -> Result<()> {
        let bad = |message: &'static str| Err(Error::new(Code::BadBody, message));
        if self.kind.is_empty() || self.kind.len() > KIND_BYTES_MAX || !self.kind.bytes().all(|b| b.is_ascii_graphic()) {
            return bad("kind must be 1 to 32 printable ASCII characters");
        }
        if self.kind == KIND_ENCRYPTED {
            return Err(Error::new(Code::Unsupported, "kind encrypted is reserved and not taken yet"));
        }
        if self.segments.len() > SEGMENTS_MAX {
            return bad("at most 256 segments");
        }
        if self.fallback.len() > FALLBACK_BYTES_MAX {
            return bad("fallback text of at most 1024 bytes");
        }
        if self.bytes() > text_bytes_max as usize {
            return Err(Error::new(Code::TooLarge, format!("a message holds at most {text_bytes_max} bytes")));
        }
        if self.kind == KIND_TEXT && self.plain().trim().is_empty() {
            return bad("an empty text says nothing");
        }
        if self.kind != KIND_TEXT && self.fallback.is_empty() {
            return bad("a body that is not text needs a fallback text");
        }
        let is_object = || serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&self.payload).is_ok();
        if !self.payload.is_empty() && !is_object() {
            return bad("payload must be a JSON object");
        }
        if let Some(nth) = self.segments.iter().position(|s| matches!(s, Segment::Link(link) if !is_safe_link(link))) {
            let rule = format!("segments[{nth}]: a link starts with http://, https:// or mailto:");
            return Err(Error::new(Code::BadBody, rule));
        }
        Ok(())
    }
}

fn is_safe_link(link: &str) -> bool {
    ["http://", "https://", "mailto:"].iter().any(|scheme| link.starts_with(scheme)) && !link.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_bodies_are_refused_with_their_code() {
        let code = |body: Body| body.check(100).unwrap_err().code;
        assert_eq!(code(Body::text("  \n")), Code::BadBody);
        assert_eq!(code(Body::text("x".repeat(101))), Code::TooLarge);
        assert_eq!(code(Body { kind: String::new(), ..Body::text("a") }), Code::BadBody);
        assert_eq!(code(Body { kind: "image".into(), ..Body::text("a") }), Code::BadBody);
        assert_eq!(code(Body { kind: KIND_ENCRYPTED.into(), fallback: "?".into(), ..Body::text("a") }), Code::Unsupported);
        assert_eq!(code(Body { payload: "[1]".into(), ..Body::text("a") }), Code::BadBody);
        let script = Segment::Link("javascript:alert(1)".into());
        let told = Body { segments: vec![Segment::Text("see ".into()), script], ..Body::text("a") }.check(100).unwrap_err();
        assert_eq!(told.code, Code::BadBody);
        assert!(told.message.starts_with("segments[1]"), "{}", told.message);
        assert!(Body::text("x".repeat(100)).check(100).is_ok());
    }
}
