//! `GET /goim/nodes/…`: where clients connect.

use super::super::super::SharedState;
use super::super::ask::unexpected_reply;
use super::answer::{data, failed};
use super::{Caller, query_of};
use axum::extract::Request;
use axum::response::Response;
use serde::Serialize;
use skein_domain::live::{Advice, LiveNode, PushCommand, PushReply};
use std::collections::BTreeMap;

/// In the order of goim's fields; those that are zero are left out, as Go does.
#[derive(Serialize)]
struct Weighted {
    #[serde(skip_serializing_if = "String::is_empty")]
    domain: String,
    #[serde(skip_serializing_if = "is_zero")]
    tcp_port: i32,
    #[serde(skip_serializing_if = "is_zero")]
    ws_port: i32,
    #[serde(skip_serializing_if = "is_zero")]
    wss_port: i32,
    #[serde(skip_serializing_if = "is_zero")]
    heartbeat: i32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<String>,
    backoff: Backoff,
    #[serde(skip_serializing_if = "is_zero")]
    heartbeat_max: i32,
}

#[derive(Serialize)]
struct Backoff {
    #[serde(skip_serializing_if = "is_zero")]
    max_delay: i32,
    #[serde(skip_serializing_if = "is_zero")]
    base_delay: i32,
    #[serde(skip_serializing_if = "is_nought")]
    factor: f32,
    #[serde(skip_serializing_if = "is_nought")]
    jitter: f32,
}

fn is_zero(number: &i32) -> bool {
    *number == 0
}

fn is_nought(number: &f32) -> bool {
    *number == 0.0
}

impl From<Advice> for Weighted {
    fn from(advice: Advice) -> Self {
        let Advice { domain, tcp_port, ws_port, wss_port, heartbeat, heartbeat_max, nodes, backoff } = advice;
        let hundredths = |number: u32| number as f32 / 100.0;
        let backoff = Backoff {
            max_delay: backoff.max_delay,
            base_delay: backoff.base_delay,
            factor: hundredths(backoff.factor_hundredths),
            jitter: hundredths(backoff.jitter_hundredths),
        };
        Self { domain, tcp_port, ws_port, wss_port, heartbeat, nodes, backoff, heartbeat_max }
    }
}

pub async fn weighted(state: SharedState, Caller(asker): Caller, request: Request) -> Response {
    let platform = query_of(&request).text("platform").to_owned();
    let command = PushCommand::Nodes { platform, address: asker.from.ip.to_string() };
    match asker.ask(&state, command).await {
        Ok(PushReply::Advice { advice }) => data(Weighted::from(advice)),
        Ok(_) => failed(unexpected_reply()),
        Err(error) => failed(error),
    }
}

/// As goim's discovery tells of a comet. Skein has no regions, zones and environments.
#[derive(Serialize)]
struct Instance {
    region: &'static str,
    zone: &'static str,
    env: &'static str,
    appid: &'static str,
    hostname: String,
    addrs: Vec<String>,
    version: &'static str,
    latest_timestamp: i64,
    metadata: BTreeMap<&'static str, String>,
}

pub async fn instances(state: SharedState, Caller(asker): Caller) -> Response {
    match asker.ask(&state, PushCommand::Instances).await {
        Ok(PushReply::Nodes { nodes }) => data(nodes.into_iter().map(Instance::from).collect::<Vec<_>>()),
        Ok(_) => failed(unexpected_reply()),
        Err(error) => failed(error),
    }
}

impl From<LiveNode> for Instance {
    fn from(node: LiveNode) -> Self {
        let metadata = BTreeMap::from([
            ("addrs", host(&node.tcp).to_owned()),
            ("conn_count", node.connections.to_string()),
            ("ip_count", node.addresses.to_string()),
            ("offline", node.draining.to_string()),
            ("weight", node.weight.to_string()),
        ]);
        Self {
            region: "",
            zone: "",
            env: "",
            appid: "goim.comet",
            hostname: node.node.0,
            addrs: vec![format!("tcp://{}", node.tcp)],
            version: env!("CARGO_PKG_VERSION"),
            // goim's are nanoseconds.
            latest_timestamp: node.renewed_at.0.saturating_mul(1_000_000),
            metadata,
        }
    }
}

/// Of `host:port`.
fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}
