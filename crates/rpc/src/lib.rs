//! The doors of `skein-domain` over gRPC: a client that is the trait, and a server that wraps any implementation of it.
//!
//! **Invariant:** a caller cannot tell which implementation it holds; `tests/contract.rs` runs the same suite on both.
//! Every call has a deadline; every wait and queue is bounded. A stream that breaks answers what was under way with
//! `retry_same_key`, because nobody knows whether it took effect.

mod delivery;
mod envelope;
mod goim;
mod keyed;
mod logic;
mod outage;
mod peer;
mod push;
mod status;

pub use delivery::{RemoteDelivery, delivery_service};
pub use goim::comet::{LiveRooms, goim_comet_service};
pub use goim::logic::goim_logic_service;
pub use goim::record::{CONSUMER_GROUP, RecordError, TOPIC, decode_record, encode_record, record_key};
pub use logic::{RemoteLogic, logic_service};
pub use peer::{Peer, Secret, Trust};
pub use push::push_service;

use skein_domain::metric::{Metric, counter};

/// What the doors count.
pub const METRICS: &[Metric] =
    &[counter("skein_door_busy_total", "", "Commands refused because too many were under way to the other process")];

mod proto {
    #![allow(clippy::all)]
    tonic::include_proto!("skein.door.v1");
}
