//! What is wrong with JSON, and where.

use serde::de::{Expected, Unexpected};
use std::fmt;

/// Characters of a peer's field name that are quoted.
const QUOTED_CHARS_MAX: usize = 64;

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
    pub(super) fn here(problem: impl Into<String>) -> Self {
        Self { path: Vec::new(), problem: problem.into() }
    }

    pub(super) fn must_be(what: &str) -> Self {
        Self::here(format!("must be {what}"))
    }

    pub(super) fn in_field(mut self, name: &str) -> Self {
        self.path.insert(0, Step::Field(name.chars().take(QUOTED_CHARS_MAX).collect()));
        self
    }

    pub(super) fn in_item(mut self, nth: usize) -> Self {
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
