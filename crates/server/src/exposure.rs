//! What other machines reach or read in plain text, and how to mend it.
//!
//! **Invariant:** nothing is said about what stays on loopback, nor about a listener that these roles do not open.

use crate::config::Config;
use crate::listeners::{Listener, wanted};
use crate::roles::Roles;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

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

/// Said at every start.
pub(crate) fn warn(config: &Config, roles: &Roles) {
    for exposed in of(config, roles) {
        let Exposed { what, address, fix, .. } = &exposed;
        tracing::warn!(setting = what, address, fix, "{exposed}");
    }
    for (setting, address) in keyless(config, roles) {
        let reach = if address.ip().is_loopback() { "this machine" } else { "every machine that reaches it" };
        tracing::warn!(setting, %address, reach, "answers without any secret, as goim does");
    }
}

pub(crate) fn of(config: &Config, roles: &Roles) -> Vec<Exposed> {
    let reachable = wanted(config, roles).into_iter().filter(|(_, address)| !address.ip().is_loopback());
    let mut found: Vec<Exposed> = reachable.filter_map(|(listener, address)| of_listener(config, listener, address)).collect();
    for (what, address) in config.peers.addresses().filter(|(_, address)| leaves_in_plain_text(address)) {
        found.push(Exposed { what, address: address.into(), fix: HTTPS, risk: "the shared secret goes to this peer without TLS" });
    }
    found
}

/// Of one that other machines reach.
fn of_listener(config: &Config, listener: Listener, address: SocketAddr) -> Option<Exposed> {
    use Listener::*;
    let (fix, risk) = match listener {
        Admin => (LOOPBACK, "answers everybody who reaches it"),
        Public | Tcp | Push | PushRpc | CometRpc | LogicRpc if config.tls.is_on() => return None,
        Public | Tcp | Push | PushRpc | CometRpc | LogicRpc => (CERTIFICATE, "reachable from outside without TLS"),
        // Said of them as they answer without a secret, or a matter of goim's clients, who do as they did.
        GoimWebsocket | GoimWebsocketTls | GoimHttp | GoimCometRpc | GoimLogicRpc => return None,
    };
    Some(Exposed { what: listener.setting().into(), address: address.to_string(), fix, risk })
}

/// What answers without any secret: the setting that lets it, and the address. goim's clients also come over TCP.
fn keyless(config: &Config, roles: &Roles) -> Vec<(&'static str, SocketAddr)> {
    use Listener::*;
    let goim = &config.compat.goim;
    let open = wanted(config, roles).into_iter().filter_map(|(listener, address)| match listener {
        Tcp | GoimWebsocket | GoimWebsocketTls | GoimCometRpc | GoimLogicRpc if goim.trust => Some(("compat.goim.trust", address)),
        // Guests who name nobody, and hear the rooms that they name.
        Tcp | GoimWebsocket | GoimWebsocketTls if goim.on => Some(("compat.goim.on", address)),
        GoimHttp => Some(("compat.goim.open_push", address)),
        _ => None,
    });
    open.collect()
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
    use crate::roles::Role;

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

    #[test]
    fn what_answers_without_a_secret_is_named_where_these_roles_open_it() {
        let ports = |roles: &[Role], tls: &str| {
            let mut config = Config::default();
            config.node.roles = roles.to_vec();
            config.tls.certificate = tls.into();
            let nothing = keyless(&config, &config.roles().unwrap());
            (config.compat.goim.on, config.compat.goim.trust, config.compat.goim.open_push) = (true, true, true);
            let open = keyless(&config, &config.roles().unwrap());
            assert_eq!((nothing, open.iter().all(|(_, address)| address.ip().is_loopback())), (vec![], true));
            open.into_iter().map(|(_, address)| address.port()).collect::<Vec<_>>()
        };
        assert_eq!(ports(&[], "c.pem"), [3101, 3102, 3103, 3111, 3109, 3119]);
        assert_eq!(ports(&[], ""), [3101, 3102, 3111, 3109, 3119]);
        assert_eq!(ports(&[Role::Comet], ""), [3101, 3102, 3109]);
        assert_eq!(ports(&[Role::Status, Role::Verify, Role::Logic, Role::Job], ""), [3111, 3119]);

        let anonymous = |roles: &[Role]| {
            let mut config = Config::default();
            config.node.roles = roles.to_vec();
            config.compat.goim.on = true;
            keyless(&config, &config.roles().unwrap()).into_iter().map(|(what, at)| (what, at.port())).collect::<Vec<_>>()
        };
        assert_eq!(anonymous(&[]), [("compat.goim.on", 3101), ("compat.goim.on", 3102)]);
        assert_eq!(anonymous(&[Role::Gate]), []);
    }
}
