//! What an SQL engine must do for the store, and how values go in and come out.
//!
//! The statements of the ports are written once. Most are the same text on every engine; [`Statement`] carries two texts where
//! they differ. Parameters are numbered (`?1`, `?2`, …) in all of them.
//!
//! **Invariant:** a statement is a constant; what a user wrote reaches it as a bound [`Value`] only.

use super::failure::{Failure, Outcome};
use std::time::Duration;

/// A connection, used by one thread at a time.
pub(crate) trait Sql {
    /// Answers how many rows the statement found to change, whether or not they were different before.
    fn execute(&self, statement: Statement, values: &[Value<'_>]) -> Outcome<usize>;
    /// Hands over rows until there are no more or `each` answers false.
    fn query(&self, statement: Statement, values: &[Value<'_>], each: &mut dyn FnMut(&Row<'_>) -> Outcome<bool>) -> Outcome<()>;
    /// Begins, ends or marks a transaction.
    fn control(&self, statement: &'static str) -> Outcome<()>;
    /// The id the last insert of this connection made.
    fn last_insert_id(&self) -> i64;
}

/// A connection for reading, kept by the pool of readers.
pub(crate) trait Reader: Send {
    /// Starts a read that sees one snapshot and fails after `limit`.
    fn begin(&mut self, limit: Duration) -> Outcome<()>;
    fn sql(&self) -> &dyn Sql;
    /// Lets go of the snapshot. `Err`: the connection is of no more use.
    fn end(&mut self) -> Outcome<()>;
    /// Whether it still works; asked of one that was idle for long.
    fn ping(&mut self) -> Outcome<()>;
}

/// Opens connections for reading.
pub(crate) trait OpenReader: Send + Sync + 'static {
    fn open(&self) -> Outcome<Box<dyn Reader>>;
}

/// One statement, as each engine wants it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Statement {
    pub sqlite: &'static str,
    #[cfg(feature = "mysql")]
    pub mysql: &'static str,
}

impl Statement {
    pub const fn differing(sqlite: &'static str, mysql: &'static str) -> Self {
        #[cfg(not(feature = "mysql"))]
        let _ = mysql;
        Self {
            sqlite,
            #[cfg(feature = "mysql")]
            mysql,
        }
    }
}

impl From<&'static str> for Statement {
    fn from(text: &'static str) -> Self {
        Self::differing(text, text)
    }
}

/// A parameter.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'v> {
    Null,
    Int(i64),
    Text(&'v str),
    Blob(&'v [u8]),
}

/// What can be a parameter.
pub(crate) trait ToValue {
    fn to_value(&self) -> Value<'_>;
}

macro_rules! ints_to_values {
    ($($int:ty),*) => {
        $(impl ToValue for $int {
            fn to_value(&self) -> Value<'_> {
                Value::Int(i64::from(*self))
            }
        })*
    };
}
ints_to_values!(i64, i32, u32, u16, bool);

impl ToValue for str {
    fn to_value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl ToValue for String {
    fn to_value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl ToValue for Vec<u8> {
    fn to_value(&self) -> Value<'_> {
        Value::Blob(self)
    }
}

impl<const N: usize> ToValue for [u8; N] {
    fn to_value(&self) -> Value<'_> {
        Value::Blob(self)
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value<'_> {
        (**self).to_value()
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, T::to_value)
    }
}

/// The values of a statement, in order of their numbers.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$($crate::sql::engine::ToValue::to_value(&$value)),*] as &[$crate::sql::engine::Value<'_>]
    };
}
pub(crate) use params;

/// What a column holds. Text is bytes until it is read as text.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column<'r> {
    Null,
    Int(i64),
    Bytes(&'r [u8]),
}

/// The columns of a row, by place.
pub(crate) trait Columns {
    fn column(&self, at: usize) -> Outcome<Column<'_>>;
}

pub(crate) struct Row<'r>(pub &'r dyn Columns);

impl Row<'_> {
    pub fn get<T: FromColumn>(&self, at: usize) -> Outcome<T> {
        T::from_column(self.0.column(at)?).ok_or_else(|| unreadable(at, "another type"))
    }

    pub fn is_null(&self, at: usize) -> Outcome<bool> {
        Ok(matches!(self.0.column(at)?, Column::Null))
    }

    pub fn bytes(&self, at: usize) -> Outcome<&[u8]> {
        match self.0.column(at)? {
            Column::Bytes(bytes) => Ok(bytes),
            _ => Err(unreadable(at, "no bytes")),
        }
    }
}

pub(crate) fn unreadable(at: usize, what: &str) -> Failure {
    Failure::Unreadable(format!("column {at}: {what}"))
}

pub(crate) trait FromColumn: Sized {
    fn from_column(column: Column<'_>) -> Option<Self>;
}

macro_rules! ints_from_columns {
    ($($int:ty),*) => {
        $(impl FromColumn for $int {
            fn from_column(column: Column<'_>) -> Option<Self> {
                match column {
                    Column::Int(int) => int.try_into().ok(),
                    _ => None,
                }
            }
        })*
    };
}
ints_from_columns!(i64, i32, u32, u16);

impl FromColumn for bool {
    fn from_column(column: Column<'_>) -> Option<Self> {
        i64::from_column(column).map(|int| int != 0)
    }
}

impl FromColumn for String {
    fn from_column(column: Column<'_>) -> Option<Self> {
        match column {
            Column::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(str::to_owned),
            _ => None,
        }
    }
}

impl<const N: usize> FromColumn for [u8; N] {
    fn from_column(column: Column<'_>) -> Option<Self> {
        match column {
            Column::Bytes(bytes) => bytes.try_into().ok(),
            _ => None,
        }
    }
}

impl<T: FromColumn> FromColumn for Option<T> {
    fn from_column(column: Column<'_>) -> Option<Self> {
        match column {
            Column::Null => Some(None),
            column => T::from_column(column).map(Some),
        }
    }
}
