//! A table for people, JSON for whoever compares.

use serde::Serialize;

#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub senders: usize,
    pub seconds: f64,
    pub acked: u64,
    pub acked_per_second: f64,
    /// Acked messages per sync that a lone writer of the same disk could have made in that time.
    pub per_reference_sync: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    /// Pushes that receivers heard: each acked message once, unless a queue ran over.
    pub delivered: u64,
    /// From the call of the sender to the connection of the receiver.
    pub delivery_p50_ms: f64,
    pub delivery_p99_ms: f64,
    pub errors: u64,
    pub server_cpu_us_per_ack: f64,
    pub server_resident_mib: f64,
}

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub sync_ms: f64,
    pub added_delay_ms: f64,
    pub cores: usize,
    pub rows: Vec<Row>,
}

impl Report {
    pub fn table(&self) -> String {
        let mut table = format!(
            "disk: {:.3} ms a sync{}; {} cores shared by server and load\n\n",
            self.sync_ms,
            if self.added_delay_ms > 0.0 {
                format!(" (real syncs replaced by a delay of {} ms)", self.added_delay_ms)
            } else {
                String::new()
            },
            self.cores
        );
        table +=
            "senders |  acked/s | per sync |  p50 ms |  p99 ms |  max ms | delivered | p50 ms | p99 ms | CPU us/ack | RSS MiB | errors\n";
        table +=
            "-------:|---------:|---------:|--------:|--------:|--------:|----------:|-------:|-------:|-----------:|--------:|------:\n";
        let widest = self.rows.iter().map(|row| row.acked_per_second).fold(1.0, f64::max);
        for row in &self.rows {
            let bar = "▇".repeat((row.acked_per_second / widest * 24.0).round() as usize);
            table += &format!(
                "{:>7} | {:>8.0} | {:>8.1} | {:>7.2} | {:>7.2} | {:>7.2} | {:>9} | {:>6.2} | {:>6.2} | {:>10.1} | {:>7.1} | {:>6}  {bar}\n",
                row.senders,
                row.acked_per_second,
                row.per_reference_sync,
                row.p50_ms,
                row.p99_ms,
                row.max_ms,
                row.delivered,
                row.delivery_p50_ms,
                row.delivery_p99_ms,
                row.server_cpu_us_per_ack,
                row.server_resident_mib,
                row.errors
            );
        }
        table
    }
}
