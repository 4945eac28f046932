//! Client protocol ↔ domain: the only place where the two meet.
//!
//! [`command`] turns what a client asks into a command; [`reply`] and [`push`] turn what the domain says into messages;
//! [`parts`] holds what both need.
//!
//! **Invariant:** the matches are exhaustive over requests, replies and pushes: a new one does not compile until it is
//! mapped. A number from outside is checked where it becomes a domain type; 0 stands for "none" where the schema says so.

mod command;
mod parts;
mod push;
mod reply;

pub(super) use command::{Asked, command};
pub(super) use push::push;
pub(super) use reply::{error, reply};
