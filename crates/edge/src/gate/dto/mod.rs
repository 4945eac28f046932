//! The JSON of the HTTP API: names as in `skein.proto`, 64-bit numbers as [`Int64`].
//!
//! **Invariant:** these types are the public contract; the domain's may change behind them. Conversions are total, and
//! what came from outside is checked where it turns into a domain type.

pub(super) mod account;
mod body;
pub(super) mod contact;
pub(super) mod conversation;
mod entry;
pub(super) mod message;
mod role;
pub(super) mod sync;

use super::int64::Int64;

/// A closed set of words, each the same as a variant of a domain type.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident = $domain:ty { $($variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($variant),+ }

        impl From<$name> for $domain {
            fn from(word: $name) -> Self {
                match word { $($name::$variant => <$domain>::$variant),+ }
            }
        }

        impl From<$domain> for $name {
            fn from(word: $domain) -> Self {
                match word { $(<$domain>::$variant => $name::$variant),+ }
            }
        }
    };
}
pub(super) use words;

fn all<From, To: std::convert::From<From>>(items: Vec<From>) -> Vec<To> {
    items.into_iter().map(To::from).collect()
}
