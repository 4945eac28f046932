//! What other machines reach or read in plain text, and how to mend it.
//!
//! **Invariant:** nothing is said about what stays on loopback, nor about a listener that these roles do not open.

use crate::config::Config;
use crate::roles::{Role, Roles};
use std::fmt;
use std::net::IpAddr;

const CERTIFICATE: &str = "set tls.certificate and tls.private_key, or put a TLS proxy before it and listen on loopback";
const LOOPBACK: &str = "keep it on loopback or behind a firewall";
const HTTPS: &str = "give the peer tls.certificate and tls.private_key, its address here https://, and set peers.ca_file";

/// A setting that shows something to other machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exposed {
    /// The key, as in the configuration.
    pub what: String,
    pub address: String,
    pub fix: &'static str,
    risk: &'static str,
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.risk)
    }
}

pub(crate) fn of(config: &Config, roles: &Roles) -> Vec<Exposed> {
    let (gate, comet, logic, split) = (roles.has(Role::Gate), roles.has(Role::Comet), roles.has(Role::Logic), !roles.is_all());
    let listen = &config.listen;
    let encrypted = [
        (gate || comet, "listen.public", listen.public),
        (comet, "listen.tcp", listen.tcp),
        (logic, "listen.push", listen.push),
        (comet && split, "listen.comet_rpc", listen.comet_rpc),
        (logic && split, "listen.logic_rpc", listen.logic_rpc),
    ];
    let mut found = Vec::new();
    for (_, what, address) in encrypted.into_iter().filter(|(opens, _, address)| *opens && !address.ip().is_loopback()) {
        if !config.tls.is_on() {
            let risk = "reachable from outside without TLS";
            found.push(Exposed { what: what.into(), address: address.to_string(), fix: CERTIFICATE, risk });
        }
    }
    if !listen.admin.ip().is_loopback() {
        let risk = "answers everybody who reaches it";
        found.push(Exposed { what: "listen.admin".into(), address: listen.admin.to_string(), fix: LOOPBACK, risk });
    }
    for (what, address) in config.peers.addresses().filter(|(_, address)| leaves_in_plain_text(address)) {
        found.push(Exposed { what, address: address.into(), fix: HTTPS, risk: "the shared secret goes to this peer without TLS" });
    }
    found
}

fn leaves_in_plain_text(address: &str) -> bool {
    let Some(authority) = address.strip_prefix("http://") else { return false };
    let authority = authority.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host).trim_matches(['[', ']']);
    host != "localhost" && !host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CometPeer;

    fn exposed(change: impl FnOnce(&mut Config)) -> Vec<(String, &'static str)> {
        let mut config = Config::default();
        change(&mut config);
        let roles = config.roles().unwrap();
        of(&config, &roles).into_iter().map(|exposed| (exposed.what, exposed.fix)).collect()
    }

    fn everywhere(config: &mut Config) {
        let listen = &mut config.listen;
        for address in [&mut listen.public, &mut listen.tcp, &mut listen.push, &mut listen.comet_rpc, &mut listen.logic_rpc] {
            address.set_ip([0, 0, 0, 0].into());
        }
    }

    #[test]
    fn loopback_and_tls_are_nothing_to_warn_about() {
        assert_eq!(exposed(|_| ()), []);
        let encrypted = exposed(|config| {
            everywhere(config);
            config.tls.certificate = "c.pem".into();
            config.tls.private_key = "k.pem".into();
        });
        assert_eq!(encrypted, []);
    }

    #[test]
    fn every_listener_that_opens_is_named_with_the_fix() {
        let all = exposed(everywhere);
        assert_eq!(all, ["listen.public", "listen.tcp", "listen.push"].map(|what| (what.to_owned(), CERTIFICATE)));
        let comet = exposed(|config| {
            everywhere(config);
            config.node.roles = vec![Role::Comet];
        });
        assert_eq!(comet, ["listen.public", "listen.tcp", "listen.comet_rpc"].map(|what| (what.to_owned(), CERTIFICATE)));
        let logic = exposed(|config| {
            everywhere(config);
            config.node.roles = vec![Role::Status, Role::Verify, Role::Logic, Role::Job];
        });
        assert_eq!(logic, ["listen.push", "listen.logic_rpc"].map(|what| (what.to_owned(), CERTIFICATE)));
        assert_eq!(exposed(|config| config.listen.admin.set_ip([10, 0, 0, 1].into())), [("listen.admin".to_owned(), LOOPBACK)]);
    }

    #[test]
    fn the_secret_should_not_leave_in_plain_text() {
        let comet = |address: &str| CometPeer { node: "comet-1".into(), address: address.into() };
        let quiet = ["http://127.0.0.1:50051", "http://localhost:1", "http://[::1]:50051", "https://10.0.0.1:50051"];
        assert_eq!(exposed(|config| config.peers.comets = quiet.map(comet).into()), []);
        let loud = exposed(|config| {
            config.peers.logic = "http://logic.internal:50052".into();
            config.peers.comets = vec![comet("http://10.0.0.1:50051/")];
        });
        assert_eq!(loud, ["peers.logic", "peers.comets[0]"].map(|what| (what.to_owned(), HTTPS)));
    }
}
