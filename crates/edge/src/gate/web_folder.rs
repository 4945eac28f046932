//! Which web client an operator wants served.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a client's every address begins with.
pub(super) const PAGE: &str = "index.html";

/// A folder that holds a built web client; empty: none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct WebFolder(String);

impl WebFolder {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0:?} holds no web client: there is no index.html")]
pub struct NoWebClient(String);

impl TryFrom<String> for WebFolder {
    type Error = NoWebClient;

    fn try_from(folder: String) -> Result<Self, NoWebClient> {
        if folder.is_empty() || Path::new(&folder).join(PAGE).is_file() { Ok(Self(folder)) } else { Err(NoWebClient(folder)) }
    }
}

impl From<WebFolder> for String {
    fn from(folder: WebFolder) -> Self {
        folder.0
    }
}
