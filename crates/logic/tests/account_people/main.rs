//! Accounts, sessions, status and contacts, told in terms of people: real store and registries, a clock that the test
//! moves, a mailbox that can be read, and Comets that write down what they are told.

mod codes;
mod comets;
mod contacts;
mod errors;
mod hooked;
mod hops;
mod log_in;
mod mailbox;
mod sessions;
mod status;
mod stores;
mod world;
