//! The model of the crate head, held against real processes that are really killed.

mod faults;
mod files;
mod lab;
mod model;
mod sqlite;
