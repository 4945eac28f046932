//! Counters of a node's long connections, looked up once: fan-out must not search for them.

use super::wire::Transport;
use metrics::{Counter, Gauge, counter, gauge};
use skein_protocol::CloseCode;

pub(super) struct Meters {
    connections: [Gauge; 2],
    pub in_flight: Gauge,
    pub queue_bytes: Gauge,
    pub frames_in: Counter,
    pub bytes_in: Counter,
    pub bytes_out: Counter,
    pub writes: Counter,
    pub pushes_queued: Counter,
    pub pushes_discarded: Counter,
    pub pushes_left_out: Counter,
    pub live_pushes_dropped: Counter,
    pub walks_refused: Counter,
    pub guests: Gauge,
    pub guests_unheard: Counter,
    pub resyncs: Counter,
    pub auth_failures: Counter,
    pub rate_limited: Counter,
    pub batches_repeated: Counter,
    pub controls_missed: Counter,
}

impl Meters {
    pub fn new() -> Self {
        let connections = [Transport::Tcp, Transport::WebSocket].map(|of| gauge!("skein_comet_connections", "transport" => of.as_str()));
        Self {
            connections,
            in_flight: gauge!("skein_comet_commands_in_flight"),
            queue_bytes: gauge!("skein_comet_queue_bytes"),
            frames_in: counter!("skein_comet_frames_in_total"),
            bytes_in: counter!("skein_comet_bytes_in_total"),
            bytes_out: counter!("skein_comet_bytes_out_total"),
            writes: counter!("skein_comet_writes_total"),
            pushes_queued: counter!("skein_comet_pushes_queued_total"),
            pushes_discarded: counter!("skein_comet_pushes_discarded_total"),
            pushes_left_out: counter!("skein_comet_pushes_left_out_total"),
            live_pushes_dropped: counter!("skein_comet_live_pushes_dropped_total"),
            walks_refused: counter!("skein_comet_paced_pushes_refused_total"),
            guests: gauge!("skein_comet_guests"),
            guests_unheard: counter!("skein_comet_guest_calls_failed_total"),
            resyncs: counter!("skein_comet_resyncs_total"),
            auth_failures: counter!("skein_comet_auth_failures_total"),
            rate_limited: counter!("skein_comet_rate_limited_total"),
            batches_repeated: counter!("skein_comet_batches_repeated_total"),
            controls_missed: counter!("skein_comet_controls_missed_total"),
        }
    }

    pub fn connections(&self, of: Transport) -> &Gauge {
        &self.connections[usize::from(of == Transport::WebSocket)]
    }

    /// `None`: the peer was gone without a word.
    pub fn closed(&self, code: Option<CloseCode>) {
        counter!("skein_comet_closes_total", "code" => code.map_or("lost", CloseCode::name)).increment(1);
    }
}
