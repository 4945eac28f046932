//! A query as gin binds it: lists are repeated names, the first value counts otherwise, an empty number is 0, and 0 or an
//! empty text counts as missing where something is required.

use std::fmt::Write;
use std::num::{IntErrorKind, ParseIntError};
use std::str::FromStr;

/// Why a query was not understood, in gin's words.
pub type Unbound = String;

pub struct Query(Vec<(String, String)>);

impl Query {
    /// **Bound:** that of the request's header.
    pub fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self, name: &str) -> &str {
        self.first(name).unwrap_or_default()
    }

    pub fn given(&self, name: &str) -> Option<&str> {
        self.first(name).filter(|value| !value.is_empty())
    }

    fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn number<N: Whole>(&self, name: &str) -> Result<N, Unbound> {
        number(self.text(name))
    }

    pub fn numbers<N: Whole>(&self, name: &str) -> Result<Vec<N>, Unbound> {
        self.all(name).map(number).collect()
    }

    /// As Go's `strconv.ParseBool`; not given is false.
    pub fn flag(&self, name: &str) -> Result<bool, Unbound> {
        match self.text(name) {
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            other => Err(format!("strconv.ParseBool: parsing {other:?}: invalid syntax")),
        }
    }
}

pub trait Whole: FromStr<Err = ParseIntError> + Default {}
impl Whole for i32 {}
impl Whole for i64 {}

fn number<N: Whole>(text: &str) -> Result<N, Unbound> {
    if text.is_empty() {
        return Ok(N::default());
    }
    text.parse().map_err(|error: ParseIntError| {
        let why = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.ParseInt: parsing {text:?}: {why}")
    })
}

/// Each field by its name in goim's code, and whether something is there.
pub fn require(fields: &[(&str, bool)]) -> Result<(), Unbound> {
    let mut missing = String::new();
    for (name, _) in fields.iter().filter(|(_, is_there)| !is_there) {
        let separator = if missing.is_empty() { "" } else { "\n" };
        let _ = write!(missing, "{separator}Key: '{name}' Error:Field validation for '{name}' failed on the 'required' tag");
    }
    if missing.is_empty() { Ok(()) } else { Err(missing) }
}
