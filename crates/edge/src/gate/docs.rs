//! What the API says about itself: OpenAPI, and the generated parts of `docs/http-api.md` and `/api/docs`.

use super::html::escaped;
use super::problem::{ProblemBody, status};
use super::routes;
use serde_json::Value;
use skein_protocol::ErrorCode;
use std::fmt::Write;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};

/// The description of the public API, from the code that serves it.
pub fn openapi() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Skein HTTP API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Accounts, contacts, conversations and history. 64-bit numbers are decimal strings on output and may be numbers on \
             input. Failures are application/problem+json with stable codes.",
        ))
        .build();
    let security = [SecurityRequirement::new("token", [""; 0]), SecurityRequirement::new("cookie", [""; 0])];
    let mut openapi = OpenApiBuilder::new().info(info).security(Some(security)).build();
    openapi.merge(routes::api().into_openapi());
    describe_problems(&mut openapi);
    openapi
}

/// The description as text; `docs/openapi.json` holds it.
pub fn openapi_json() -> String {
    serde_json::to_string_pretty(&openapi()).unwrap_or_default()
}

/// Every operation may fail, always in the same shape.
fn describe_problems(openapi: &mut OpenApi) {
    describe_failures(openapi);
    let components = openapi.components.get_or_insert_default();
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let cookie = ApiKey::Cookie(ApiKeyValue::with_description(super::COOKIE, "For browsers; a changing request needs an allowed Origin."));
    components.add_security_scheme("token", SecurityScheme::Http(token));
    components.add_security_scheme("cookie", SecurityScheme::ApiKey(cookie));
}

/// The same, but for who may ask.
pub(super) fn describe_failures(openapi: &mut OpenApi) {
    let components = openapi.components.get_or_insert_default();
    components.schemas.insert(ProblemBody::name().into_owned(), ProblemBody::schema());
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemBody::name()))).build();
    let problem = ResponseBuilder::new().description("Why it failed").content("application/problem+json", content).build();
    for item in openapi.paths.paths.values_mut() {
        let methods = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in methods.into_iter().filter_map(Option::as_mut) {
            for (status, response) in &mut operation.responses.responses {
                // The standard wants a description; the schema says more than one could.
                if let RefOr::T(response) = response {
                    response.description = if status == "204" { "Done" } else { "The answer" }.to_owned();
                }
            }
            operation.responses.responses.insert("default".to_owned(), RefOr::T(problem.clone()));
        }
    }
}

/// Markdown: code, status, retry, meaning.
pub fn error_table() -> String {
    let mut table = String::from("| code | status | send again | meaning |\n|---|---|---|---|\n");
    for code in ErrorCode::ALL {
        let (status, retry, meaning) = (status(*code).as_u16(), code.retry().as_str(), code.meaning());
        let _ = writeln!(table, "| `{code}` | {status} | {retry} | {meaning} |");
    }
    table
}

/// Markdown: method and path, whether it needs a session, what it does.
pub fn endpoint_table() -> String {
    let mut table = String::from("| request | session | what it does |\n|---|---|---|\n");
    for operation in operations(&openapi()) {
        let session = if operation.is_public { "no" } else { "yes" };
        let _ = writeln!(table, "| `{} {}` | {session} | {} |", operation.method, operation.path, operation.summary);
    }
    table
}

/// Method and path, and summary, of every operation.
pub(super) fn endpoint_lines(openapi: &OpenApi) -> Vec<(String, String)> {
    operations(openapi).into_iter().map(|operation| (format!("{} {}", operation.method, operation.path), operation.summary)).collect()
}

struct OperationLine {
    method: String,
    path: String,
    summary: String,
    is_public: bool,
    value: Value,
}

fn operations(openapi: &OpenApi) -> Vec<OperationLine> {
    let value = serde_json::to_value(openapi).unwrap_or_default();
    let mut lines = Vec::new();
    for (path, item) in value["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            lines.push(OperationLine {
                method: method.to_uppercase(),
                path: path.clone(),
                summary: operation["summary"].as_str().unwrap_or_default().to_owned(),
                is_public: operation["security"] == serde_json::json!([{}]),
                value: operation.clone(),
            });
        }
    }
    lines
}

/// The body of `/api/docs`.
pub(super) fn page(openapi: &OpenApi) -> String {
    let mut html = String::from(
        "<h1>Skein HTTP API</h1>\n<p>JSON under <code>/api/v1</code>; described as <a href=\"/api/v1/openapi.json\">OpenAPI</a>. \
         Log in, then send <code>Authorization: Bearer &lt;token&gt;</code>.</p>\n<h2>Requests</h2>\n",
    );
    for operation in operations(openapi) {
        write_operation(&mut html, &operation);
    }
    html.push_str("<h2>Data</h2>\n");
    let schemas = serde_json::to_value(&openapi.components).unwrap_or_default();
    for (name, schema) in schemas["schemas"].as_object().into_iter().flatten() {
        let (name, schema) = (escaped(name), escaped(&format!("{schema:#}")));
        let _ = writeln!(html, "<details id=\"{name}\"><summary><code>{name}</code></summary><pre>{schema}</pre></details>");
    }
    html.push_str("<h2>Errors</h2>\n<table><tr><th>code<th>status<th>send again<th>meaning</tr>\n");
    for code in ErrorCode::ALL {
        let (status, retry, meaning) = (status(*code).as_u16(), code.retry().as_str(), escaped(code.meaning()));
        let _ = writeln!(html, "<tr id=\"{code}\"><td><code>{code}</code><td>{status}<td>{retry}<td>{meaning}</tr>");
    }
    html.push_str("</table>\n");
    html
}

fn write_operation(html: &mut String, operation: &OperationLine) {
    let session = if operation.is_public { "" } else { " <span class=\"tag\">session</span>" };
    let _ = writeln!(html, "<h3><code>{} {}</code>{session}</h3>", operation.method, escaped(&operation.path));
    let _ = writeln!(html, "<p>{}</p>", escaped(&operation.summary));
    if let Some(description) = operation.value["description"].as_str() {
        let _ = writeln!(html, "<p>{}</p>", escaped(description));
    }
    for parameter in operation.value["parameters"].as_array().into_iter().flatten() {
        let text = |field: &str| escaped(parameter[field].as_str().unwrap_or_default());
        let _ = writeln!(html, "<p><code>{}</code> ({}) {}</p>", text("name"), text("in"), text("description"));
    }
    if let Some(name) = schema_name(&operation.value["requestBody"]) {
        let _ = writeln!(html, "<p>Body: <a href=\"#{name}\"><code>{name}</code></a></p>");
    }
    for (status, response) in operation.value["responses"].as_object().into_iter().flatten() {
        if let Some(name) = schema_name(response) {
            let _ = writeln!(html, "<p>{status}: <a href=\"#{name}\"><code>{name}</code></a></p>");
        }
    }
}

fn schema_name(body: &Value) -> Option<&str> {
    let media = body["content"].as_object()?.values().next()?;
    media["schema"]["$ref"].as_str()?.rsplit('/').next()
}
