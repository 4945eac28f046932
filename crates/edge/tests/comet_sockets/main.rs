//! Long connections over real sockets and a scripted logic: what clients see, and what is left when they go.

mod client;
mod crowd;
mod flow;
mod hostile;
mod leaving;
mod listener;
mod log_in;
mod script;
mod tls;
mod websocket;
mod world;
