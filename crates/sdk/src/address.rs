//! Where a Comet listens: `host:port` or `tcp://` for frames over TCP, `tls://` for the same under TLS, `ws://` and
//! `wss://` for WebSocket.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    Tcp,
    Tls,
    Ws,
    Wss,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Scheme::Tcp => "tcp",
            Scheme::Tls => "tls",
            Scheme::Ws => "ws",
            Scheme::Wss => "wss",
        }
    }

    pub(crate) fn is_encrypted(self) -> bool {
        matches!(self, Scheme::Tls | Scheme::Wss)
    }

    pub(crate) fn is_websocket(self) -> bool {
        matches!(self, Scheme::Ws | Scheme::Wss)
    }

    fn default_port(self) -> Option<u16> {
        match self {
            Scheme::Tcp | Scheme::Tls => None,
            Scheme::Ws => Some(80),
            Scheme::Wss => Some(443),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    pub scheme: Scheme,
    /// Name or IP; an IPv6 address without brackets.
    pub host: String,
    pub port: u16,
    /// Of a WebSocket, with the leading slash.
    pub path: String,
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).ok_or_else(|| Error::BadAddress(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Address> {
    let (scheme, rest) = match text.split_once("://") {
        None => (Scheme::Tcp, text),
        Some(("tcp", rest)) => (Scheme::Tcp, rest),
        Some(("tls", rest)) => (Scheme::Tls, rest),
        Some(("ws", rest)) => (Scheme::Ws, rest),
        Some(("wss", rest)) => (Scheme::Wss, rest),
        Some(_) => return None,
    };
    let (authority, path) = match rest.find('/') {
        Some(_) if !scheme.is_websocket() => return None,
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    // Path and host go into the upgrade request as they are.
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let (host, port) = split_port(authority)?;
    let port = match port {
        Some(port) => port.parse().ok()?,
        None => scheme.default_port()?,
    };
    (!host.is_empty()).then(|| Address { scheme, host: host.to_owned(), port, path: path.to_owned() })
}

fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest {
            "" => Some((host, None)),
            _ => Some((host, Some(rest.strip_prefix(':')?))),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => None,
        Some((host, port)) => Some((host, Some(port))),
        None => Some((authority, None)),
    }
}

impl Address {
    /// `host:port`, as in an upgrade request.
    pub(crate) fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.scheme.is_websocket() { self.path.as_str() } else { "" };
        write!(f, "{}://{}{path}", self.scheme.name(), self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_print_as_they_are_read() {
        for (text, printed) in [
            ("127.0.0.1:3101", "tcp://127.0.0.1:3101"),
            ("tls://chat.example.org:443", "tls://chat.example.org:443"),
            ("ws://localhost:8080/ws", "ws://localhost:8080/ws"),
            ("wss://chat.example.org/ws", "wss://chat.example.org:443/ws"),
            ("ws://[::1]:8080", "ws://[::1]:8080/"),
        ] {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), printed);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "host", ":3101", "http://h:1", "h:99999", "::1:80", "h:1/path", "ws://h/a b", "ws://h/\r\nx:y"] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }
}
