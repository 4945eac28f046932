//! The messages of `proto/skein.proto` as Rust types, with Protobuf and canonical JSON encodings.
//!
//! JSON output is canonical Protobuf JSON: lowerCamel names, 64-bit numbers as decimal strings, fields at their default
//! left out. JSON input also takes the names of the `.proto` (`last_message_id`) and plain numbers; unknown fields are
//! skipped and an unknown enum value reads as the unspecified one.
//!
//! **Invariant:** printing an [`v1::Auth`] with `Debug` shows no secret.

use std::fmt;

use crate::error::ErrorCode;

#[allow(clippy::all)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/skein.v1.rs"));
    include!(concat!(env!("OUT_DIR"), "/skein.v1.serde.rs"));
}

/// `google.protobuf.FileDescriptorSet` of the schema, for generators (JSON Schema, TypeScript).
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/skein.v1.bin"));

impl v1::Error {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code: code.as_str().to_owned(), message: message.into(), ..Self::default() }
    }

    /// `None` for a code this build does not know: treat it as [`ErrorCode::Internal`].
    pub fn known_code(&self) -> Option<ErrorCode> {
        self.code.parse().ok()
    }
}

impl fmt::Debug for v1::Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let presence = |secret: &str| if secret.is_empty() { "absent" } else { "present" };
        f.debug_struct("Auth")
            .field("token", &presence(&self.token))
            .field("ticket", &presence(&self.ticket))
            .field("major", &self.major)
            .field("minor", &self.minor)
            .field("codec", &self.codec)
            .field("client", &self.client)
            .field("deflate", &self.deflate)
            .finish()
    }
}
