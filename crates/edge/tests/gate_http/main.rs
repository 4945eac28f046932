//! The public HTTP API over a scripted logic: what becomes of a request, and what becomes of a reply.

mod errors;
mod hostile;
mod mailbox;
mod mapping;
mod pages;
mod push_api;
mod push_goim;
mod push_hostile;
mod routes;
mod script;
mod session;
mod socket;
mod verify;
