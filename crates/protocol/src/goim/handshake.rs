//! The upgrade on goim's WebSocket port (goim `pkg/websocket/request.go`, `server.go`): a request is answered by 101 with
//! exactly three headers, or not at all.
//!
//! **Bound:** the request's head has at most [`HEAD_BYTES_MAX`] bytes; it is judged once it is whole.

use bytes::{Buf, Bytes, BytesMut};

use crate::websocket::accept_key;

/// goim's read buffer.
pub const HEAD_BYTES_MAX: usize = 8192;

/// goim compares the whole request target: a query makes it another one.
const TARGET: &[u8] = b"/sub";

/// An upgrade that is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    pub response: Bytes,
    /// As the client sent it; goim hands it to its Logic.
    pub cookie: String,
}

/// Why a request is no upgrade. The connection ends without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error("the request line is not method, target and version")]
    RequestLine,
    #[error("the target is not /sub")]
    Target,
    #[error("a header line has no name")]
    HeaderLine,
    #[error("this is no websocket handshake of version 13")]
    NotWebSocket,
    #[error("the head of the request is over {HEAD_BYTES_MAX} bytes")]
    TooLarge,
}

/// Takes the request off the front of `buf`; `None` when more bytes are needed.
pub fn upgrade(buf: &mut BytesMut) -> Result<Option<Upgrade>, HandshakeError> {
    let readable = &buf[..buf.len().min(HEAD_BYTES_MAX)];
    let Some(end) = end_of_head(readable) else {
        return if readable.len() < HEAD_BYTES_MAX { Ok(None) } else { Err(HandshakeError::TooLarge) };
    };
    let granted = judge(&buf[..end])?;
    buf.advance(end);
    Ok(Some(granted))
}

/// Behind the first empty line. The line of the request does not count.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let mut end = lines.next()?.len();
    for line in lines {
        end += line.len();
        if line.ends_with(b"\n") && line.trim_ascii().is_empty() {
            return Some(end);
        }
    }
    None
}

fn judge(head: &[u8]) -> Result<Upgrade, HandshakeError> {
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut words = lines.next().unwrap_or_default().splitn(3, |byte| *byte == b' ');
    let (Some(method), Some(target), Some(_version)) = (words.next(), words.next(), words.next()) else {
        return Err(HandshakeError::RequestLine);
    };
    if target != TARGET {
        return Err(HandshakeError::Target);
    }
    let headers = Headers::read(lines)?;
    let asks = method == b"GET"
        && headers.first("sec-websocket-version") == b"13"
        && headers.first("upgrade").eq_ignore_ascii_case(b"websocket")
        && headers.first("connection").to_ascii_lowercase().windows(7).any(|word| word == b"upgrade")
        && !headers.first("sec-websocket-key").is_empty();
    if !asks {
        return Err(HandshakeError::NotWebSocket);
    }
    let accept = accept_key(&String::from_utf8_lossy(headers.first("sec-websocket-key")));
    let response =
        format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n");
    Ok(Upgrade { response: response.into(), cookie: String::from_utf8_lossy(headers.first("cookie")).into_owned() })
}

struct Headers<'a>(Vec<(&'a [u8], &'a [u8])>);

impl<'a> Headers<'a> {
    fn read(lines: impl Iterator<Item = &'a [u8]>) -> Result<Self, HandshakeError> {
        let mut headers = Vec::new();
        for line in lines.take_while(|line| !line.is_empty()) {
            match line.iter().position(|byte| *byte == b':') {
                None | Some(0) => return Err(HandshakeError::HeaderLine),
                Some(colon) => headers.push((&line[..colon], line[colon + 1..].trim_ascii())),
            }
        }
        Ok(Self(headers))
    }

    /// Of several of a name the first counts.
    fn first(&self, name: &str) -> &'a [u8] {
        self.0.iter().find(|(of, _)| of.eq_ignore_ascii_case(name.as_bytes())).map_or(b"", |(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "GET /sub HTTP/1.1\r\nHost: h\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                           Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: a=b\r\n\r\n";

    fn asked(request: &str) -> Result<Option<Upgrade>, HandshakeError> {
        upgrade(&mut BytesMut::from(request))
    }

    #[test]
    fn the_answer_has_three_headers_and_what_follows_stays() {
        let mut buf = BytesMut::from(format!("{REQUEST}rest").as_str());
        let granted = upgrade(&mut buf).unwrap().unwrap();
        let wanted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        assert_eq!((&granted.response[..], granted.cookie.as_str()), (wanted.as_bytes(), "a=b"));
        assert_eq!(&buf[..], b"rest");
    }

    #[test]
    fn it_is_judged_once_it_is_whole() {
        for end in 0..REQUEST.len() {
            assert_eq!(asked(&REQUEST[..end]), Ok(None), "{end}");
        }
        assert!(asked(&REQUEST.replace("\r\n", "\n")).unwrap().is_some());
    }

    #[test]
    fn what_goim_does_not_take_is_refused() {
        use HandshakeError::*;
        let changed = |from: &str, to: &str| asked(&REQUEST.replace(from, to)).unwrap_err();
        assert_eq!(changed("/sub", "/sub?x=1"), Target);
        assert_eq!(changed("/sub", "/"), Target);
        assert_eq!(changed("GET", "POST"), NotWebSocket);
        assert_eq!(changed("13", "8"), NotWebSocket);
        assert_eq!(changed("WebSocket\r", "h2c\r"), NotWebSocket);
        assert_eq!(changed("keep-alive, Upgrade", "close"), NotWebSocket);
        assert_eq!(changed("dGhlIHNhbXBsZSBub25jZQ==", ""), NotWebSocket);
        assert_eq!(changed("Host: h", "Host"), HeaderLine);
        assert_eq!(changed("Host: h", ": h"), HeaderLine);
        assert_eq!(changed("GET /sub HTTP/1.1", "GET /sub"), RequestLine);
        assert_eq!(changed("Host: h", &"x".repeat(HEAD_BYTES_MAX)), TooLarge);
    }
}
