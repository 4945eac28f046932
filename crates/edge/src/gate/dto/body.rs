//! The body of a message.

use super::Int64;
use serde::{Deserialize, Serialize};
use skein_domain::body;
use skein_domain::id::Uid;
use utoipa::ToSchema;

/// What a message says.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Body {
    /// A client that does not know the kind shows `fallback`.
    #[schema(example = "text")]
    pub kind: String,
    #[serde(default)]
    pub segments: Vec<Segment>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fallback: String,
    /// Kind-specific JSON object as text; empty for text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub payload: String,
}

/// A part of a text.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    Text(String),
    Mention(Mention),
    /// Starts with `http://`, `https://` or `mailto:`.
    Link(String),
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Mention {
    /// 0 mentions everybody.
    pub uid: Int64,
}

impl From<body::Body> for Body {
    fn from(body: body::Body) -> Self {
        let segment = |segment| match segment {
            body::Segment::Text(text) => Segment::Text(text),
            body::Segment::Mention(uid) => Segment::Mention(Mention { uid: uid.unwrap_or_default().into() }),
            body::Segment::Link(link) => Segment::Link(link),
        };
        Self { kind: body.kind, segments: body.segments.into_iter().map(segment).collect(), fallback: body.fallback, payload: body.payload }
    }
}

impl From<Body> for body::Body {
    fn from(body: Body) -> Self {
        let segment = |segment| match segment {
            Segment::Text(text) => body::Segment::Text(text),
            Segment::Mention(Mention { uid }) => body::Segment::Mention(Some(Uid::from(uid)).filter(|uid| uid.0 != 0)),
            Segment::Link(link) => body::Segment::Link(link),
        };
        Self { kind: body.kind, segments: body.segments.into_iter().map(segment).collect(), fallback: body.fallback, payload: body.payload }
    }
}
