//! goim's gRPC and log record, and the push API over gRPC: raw bytes in and out, so that a mistake in our .proto cannot hide
//! behind the same mistake in a generated client.

mod comet;
mod logic;
mod push;
mod record;
mod world;
