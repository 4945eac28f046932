//! goim's contract on real sockets, byte for byte, over a scripted logic: its vectors, its conformance list, and the places
//! where goim loses, stalls or reads what is not there and this server does not.
//!
//! A test named `every_…` runs on TCP and on WebSocket. Where a test shows an improvement its comment says what goim does.

mod auth;
mod broadcast;
mod client;
mod hostile;
mod live;
mod ops;
mod order;
mod pushes;
mod rooms;
mod script;
mod upgrade;
mod upkeep;
mod world;
