//! `/dev/mailbox`: mails of a server that has no SMTP, for whoever sits at its machine.
//!
//! **Invariant:** the route exists only when the wiring passed a [`Mailbox`], which it does only while SMTP is unset and
//! the public listener is on loopback. Even then it answers only requests that no proxy forwarded, that come from this
//! machine, and that name it as their host: a web page whose name was pointed at 127.0.0.1 has another host.

use super::int64::Int64;
use super::problem::Problem;
use super::{Shared, SharedState, address, html};
use axum::Router;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use skein_domain::id::Millis;
use skein_protocol::ErrorCode;
use std::fmt::Write;
use std::sync::Arc;

/// Mails kept in memory instead of being sent.
pub trait Mailbox: Send + Sync + 'static {
    /// Newest first.
    fn mails(&self) -> Vec<ReceivedMail>;
}

/// No `Debug`: it holds a code.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceivedMail {
    pub at: Millis,
    pub to: String,
    pub subject: String,
    pub text: String,
}

#[derive(Serialize)]
struct MailBody {
    at_ms: Int64,
    to: String,
    subject: String,
    text: String,
}

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/dev/mailbox", get(show))
}

async fn show(state: SharedState, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    require_local(&parts)?;
    let mails = state.mailbox.as_ref().map(|mailbox| mailbox.mails()).unwrap_or_default();
    if wants_html(&parts.headers) {
        return Ok(html::html(page(&mails)));
    }
    let bodies: Vec<MailBody> =
        mails.into_iter().map(|mail| MailBody { at_ms: mail.at.into(), to: mail.to, subject: mail.subject, text: mail.text }).collect();
    Ok(axum::Json(bodies).into_response())
}

fn require_local(parts: &Parts) -> Result<(), Problem> {
    let refused = |detail: &'static str| Err(Problem::new(ErrorCode::Forbidden, detail));
    let is_forwarding = |name: &str| name.starts_with("x-forwarded") || matches!(name, "forwarded" | "x-real-ip" | "via");
    if parts.headers.keys().any(|name| is_forwarding(name.as_str())) {
        return refused("the mailbox is not shown through a proxy");
    }
    let peer = address::peer(parts);
    if !peer.is_loopback() {
        return refused("the mailbox is shown on the server's own machine only");
    }
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).unwrap_or_default();
    // An absolute target names a host too.
    let is_target_local = parts.uri.authority().is_none_or(|authority| is_local_host(authority.as_str()));
    if !is_local_host(host) || !is_target_local || hosts.next().is_some() {
        return refused("the mailbox is shown at localhost only");
    }
    Ok(())
}

fn is_local_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name.to_ascii_lowercase().as_str(), "localhost" | "127.0.0.1" | "[::1]")
}

fn wants_html(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}

fn page(mails: &[ReceivedMail]) -> String {
    let mut list = String::new();
    for mail in mails {
        let [to, subject, text] = [&mail.to, &mail.subject, &mail.text].map(|text| html::escaped(text));
        let _ = writeln!(list, "<article><h2>{subject}</h2><p>{to}</p><pre>{text}</pre></article>");
    }
    if mails.is_empty() {
        list.push_str("<p>还没有邮件。· No mail yet.</p>");
    }
    html::document("Mailbox", &format!("<h1>开发邮箱 · Development mailbox</h1>\n{list}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for local in ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]", "[::1]:8080"] {
            assert!(is_local_host(local), "{local}");
        }
        for foreign in ["", "evil.example", "localhost.evil.example:80", "127.0.0.1.evil.example", "localhost:evil", "[::1]evil", "::1"] {
            assert!(!is_local_host(foreign), "{foreign}");
        }
    }
}
