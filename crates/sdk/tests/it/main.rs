//! The SDK against a scripted server over real sockets.

mod connection;
mod gate;
mod server;
mod session;
