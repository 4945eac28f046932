//! Pages, health, and the headers every response has.

use super::script::*;
use axum::body::Body;
use serde_json::{Value, json};

async fn get(path: &str) -> Answer {
    send(&app(&done()), request(&format!("GET {path}"), &[], Body::empty())).await
}

#[tokio::test]
async fn every_response_has_its_id_and_security_headers() {
    for path in ["/", "/health", "/api/docs", "/api/v1/openapi.json", "/api/v1/friends", "/nothing"] {
        let answer = get(path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), value, "{path}");
        }
        assert_eq!(answer.header("x-request-id").len(), 32, "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
    }
    assert_ne!(get("/health").await.header("x-request-id"), get("/health").await.header("x-request-id"));
}

#[tokio::test]
async fn pages_need_nothing_from_elsewhere() {
    for (path, word) in [("/", "skein chat"), ("/api/docs", "/api/v1/login")] {
        let answer = get(path).await;
        assert_eq!(answer.status, 200);
        assert!(answer.text.contains(word), "{path}");
        for foreign in ["<script", "src=", "href=\"http", "url(", "style=\"", "onclick"] {
            assert!(!answer.text.contains(foreign), "{path} has {foreign}");
        }
        assert!(answer.header("content-security-policy").contains("style-src 'sha256-"), "{path}");
    }
    assert!(get("/").await.text.contains("正在运行"));
}

/// The hash in the policy is that of the style block as a browser cuts it out.
#[tokio::test]
async fn the_policy_admits_the_pages_style() {
    use base64::Engine;
    use sha2::{Digest, Sha256};
    let answer = get("/").await;
    let style = answer.text.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    assert!(style.contains("font:"), "the style is filled in");
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(style));
    assert!(answer.header("content-security-policy").contains(&format!("'sha256-{hash}'")));
}

#[tokio::test]
async fn health_and_openapi_are_json() {
    assert_eq!(get("/health").await.json(), json!({"status": "ok"}));
    let openapi = get("/api/v1/openapi.json").await;
    assert_eq!(openapi.header("content-type"), "application/json");
    assert_eq!(openapi.json(), serde_json::to_value(skein_edge::gate::openapi()).unwrap());
}

/// Every problem's `type` leads to a place in the documentation.
#[tokio::test]
async fn every_code_has_its_place_in_the_documentation() {
    let page = get("/api/docs").await.text;
    for code in skein_protocol::ErrorCode::ALL {
        assert!(page.contains(&format!("id=\"{code}\"")), "{code}");
    }
}

#[tokio::test]
async fn openapi_has_no_loose_ends() {
    let openapi = get("/api/v1/openapi.json").await.json();
    let mut references = Vec::new();
    collect(&openapi, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(openapi.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn openapi_names_and_describes_each_operation() {
    let openapi = get("/api/v1/openapi.json").await.json();
    let mut names = std::collections::BTreeSet::new();
    let operations = openapi["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    for operation in operations {
        let name = operation["operationId"].as_str().unwrap();
        assert!(names.insert(name), "{name} twice");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{name}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{name} {status}");
        }
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            references.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|field| collect(field, references));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}
