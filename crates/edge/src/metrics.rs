//! What the edge counts.

use skein_domain::metric::{Metric, counter, gauge, histogram};

pub const METRICS: &[Metric] = &[
    counter("skein_http_requests_total", "method route status", "HTTP requests answered; the share of status 5xx is the error rate"),
    histogram("skein_http_request_seconds", "method route status", "Time to answer an HTTP request"),
    counter("skein_gate_rate_limited_total", "limit", "HTTP requests refused because their address came too often"),
    counter("skein_listener_accepted_total", "listener", "Sockets accepted"),
    counter("skein_listener_accept_errors_total", "listener", "Sockets that could not be accepted, mostly for want of file descriptors"),
    gauge("skein_comet_connections", "transport", "Long connections now, logged in or not"),
    counter("skein_comet_closes_total", "code", "Long connections ended; `lost` went without a word"),
    counter("skein_comet_auth_failures_total", "", "Log-ins of connections that were refused"),
    counter("skein_comet_rate_limited_total", "", "Commands of connections refused because they came too often"),
    gauge("skein_comet_commands_in_flight", "", "Commands of connections not yet answered"),
    counter("skein_comet_frames_in_total", "", "Frames and messages received"),
    counter("skein_comet_bytes_in_total", "", "Bytes received"),
    counter("skein_comet_bytes_out_total", "", "Bytes written"),
    counter("skein_comet_writes_total", "", "Writes to sockets; each takes all that is queued"),
    gauge("skein_comet_queue_bytes", "", "Bytes waiting to be written to clients"),
    counter("skein_comet_pushes_queued_total", "", "Pushes put on connections' queues"),
    counter("skein_comet_pushes_discarded_total", "", "Pushes dropped from full queues; a resync takes their place"),
    counter("skein_comet_pushes_left_out_total", "", "Pushes not queued because the connection is being resynced"),
    counter("skein_comet_live_pushes_dropped_total", "", "Pushes of the push API given up at full queues, the oldest first"),
    counter("skein_comet_paced_pushes_refused_total", "", "Pushes with a speed that were refused because too many are under way"),
    gauge("skein_comet_guests", "", "Logged-in connections of goim clients"),
    counter("skein_comet_guest_calls_failed_total", "", "Calls of logic on behalf of goim clients that failed"),
    counter("skein_comet_resyncs_total", "", "Connections told to sync because they were too slow"),
    counter("skein_comet_batches_repeated_total", "", "Batches that had been here before"),
    counter("skein_comet_controls_missed_total", "", "Orders for sessions that are not connected here"),
];
