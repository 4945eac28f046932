//! Every route of the OpenAPI: who may use it, and that the documents in `docs/` say the same.

use super::script::*;
use axum::body::Body;
use skein_edge::gate;
use std::collections::BTreeSet;
use std::path::PathBuf;

struct Route {
    line: String,
    is_public: bool,
}

fn routes() -> Vec<Route> {
    let openapi = serde_json::to_value(gate::openapi()).unwrap();
    let mut routes = Vec::new();
    for (path, item) in openapi["paths"].as_object().unwrap() {
        let path = path.replace("{id}", "1").replace("{uid}", "1").replace("{session}", "1");
        for (method, operation) in item.as_object().unwrap() {
            let is_public = operation["security"] == serde_json::json!([{}]);
            routes.push(Route { line: format!("{} {path}", method.to_uppercase()), is_public });
        }
    }
    routes
}

#[tokio::test]
async fn without_a_session_every_route_but_the_public_ones_answers_401() {
    let script = done();
    let app = app(&script);
    let mut open = BTreeSet::new();
    for route in routes() {
        let answer = send(&app, request(&route.line, &[], Body::empty())).await;
        if route.is_public {
            assert_ne!(answer.status, 401, "{}", route.line);
            open.insert(route.line);
        } else {
            assert_eq!(answer.problem(), (401, "unauthorized".to_owned()), "{}", route.line);
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    let expected = ["GET /health", "POST /api/v1/code", "POST /api/v1/login", "POST /api/v1/password/reset", "POST /api/v1/register"];
    assert_eq!(open, expected.map(str::to_owned).into());
    assert!(script.commands().is_empty(), "a stranger reached the door");
}

#[tokio::test]
async fn an_unknown_or_implausible_secret_answers_401_everywhere() {
    let script = done();
    let app = app(&script);
    let long = format!("authorization: Bearer {}", "x".repeat(10_000));
    let secrets = [
        "authorization: Bearer wrong",
        "authorization: Basic YTpi",
        "authorization: Bearer",
        &long,
        "cookie: skein_session=",
        "cookie: other=the-token",
    ];
    for route in routes().into_iter().filter(|route| !route.is_public) {
        for secret in secrets {
            let headers = [secret, "sec-fetch-site: same-origin"];
            let answer = send(&app, request(&route.line, &headers, Body::empty())).await;
            assert_eq!(answer.problem(), (401, "unauthorized".to_owned()), "{} {:.40}", route.line, secret);
        }
    }
    assert!(script.commands().is_empty(), "a stranger reached the door");
}

#[test]
fn the_api_is_what_it_promises() {
    let lines: BTreeSet<String> = routes().into_iter().map(|route| route.line).collect();
    let promised = [
        "POST /api/v1/ticket",
        "POST /api/v1/logout",
        "POST /api/v1/logout/everywhere",
        "GET /api/v1/devices",
        "DELETE /api/v1/devices/1",
        "GET /api/v1/profile",
        "PATCH /api/v1/profile",
        "GET /api/v1/profiles",
        "GET /api/v1/search",
        "GET /api/v1/friends",
        "GET /api/v1/blocked",
        "GET /api/v1/requests",
        "POST /api/v1/requests",
        "POST /api/v1/requests/1",
        "PATCH /api/v1/friends/1",
        "DELETE /api/v1/friends/1",
        "PUT /api/v1/blocks/1",
        "DELETE /api/v1/blocks/1",
        "POST /api/v1/conversations/direct",
        "POST /api/v1/groups",
        "POST /api/v1/rooms",
        "GET /api/v1/rooms",
        "POST /api/v1/rooms/1/join",
        "GET /api/v1/conversations/1",
        "GET /api/v1/conversations/1/members",
        "GET /api/v1/conversations/1/history",
        "GET /api/v1/sync",
        "POST /api/v1/conversations/1/messages",
        "POST /api/v1/conversations/1/read",
    ];
    for line in promised {
        assert!(lines.contains(line), "{line} is gone");
    }
}

#[test]
fn documents_are_fresh() {
    let openapi = gate::openapi_json() + "\n";
    must_hold("openapi.json", |_| openapi.clone());
    let push = gate::push_openapi_json() + "\n";
    must_hold("openapi-push.json", |_| push.clone());
    for guide in ["push-guide.md", "push-guide.zh-CN.md"] {
        must_hold(guide, |guide| between(&guide, "requests", &gate::push_endpoint_table()));
    }
    must_hold("http-api.md", |guide| {
        let guide = between(&guide, "errors", &gate::error_table());
        between(&guide, "requests", &gate::endpoint_table())
    });
}

/// Puts `generated` between the markers of `part`.
fn between(text: &str, part: &str, generated: &str) -> String {
    let [begin, end] = ["begin", "end"].map(|side| format!("<!-- generated {part}: {side} -->"));
    let (head, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
    let (_, tail) = rest.split_once(&end).unwrap_or_else(|| panic!("no {end}"));
    format!("{head}{begin}\n{generated}{end}{tail}")
}

fn must_hold(name: &str, wanted: impl Fn(String) -> String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let wanted = wanted(found.clone());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, wanted).unwrap();
        return;
    }
    assert!(found == wanted, "docs/{name} is stale: run `UPDATE=1 cargo test -p skein-edge documents_are_fresh` and commit it");
}

#[test]
fn the_guide_knows_the_default_rates() {
    let guide = include_str!("../../../../docs/http-api.md");
    let rates = gate::Rates::default();
    for (name, rate) in [("login", rates.login), ("code", rates.code), ("register", rates.register), ("search", rates.search)] {
        let row = guide.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap();
        assert!(row.ends_with(&format!("| {} | {} |", rate.per_minute, rate.burst)), "{row}");
    }
}

/// The guide's commands name only requests that exist.
#[test]
fn the_guide_uses_real_paths() {
    let guide = include_str!("../../../../docs/http-api.md");
    let paths: BTreeSet<String> = routes().into_iter().map(|route| route.line.split_once(' ').unwrap().1.to_owned()).collect();
    let mut used = 0;
    for word in guide.split_whitespace().filter_map(|word| word.trim_matches('"').strip_prefix("$API/")) {
        let path = word.split('?').next().unwrap();
        let path: Vec<&str> = path.split('/').map(|part| if part.starts_with('$') { "1" } else { part }).collect();
        let path = format!("/api/v1/{}", path.join("/"));
        assert!(paths.contains(&path), "{path} in docs/http-api.md");
        used += 1;
    }
    assert!(used >= 8, "the curl session is gone");
}
