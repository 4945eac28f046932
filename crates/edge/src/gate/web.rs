//! The web client: static files, held in memory, built into the program or read from a folder at start.
//!
//! Files below `assets/` have a hash in their names and may be kept for good; all others are asked for again, by ETag. A
//! path that is no file is answered with the client's page where a browser asks for a page, so that its addresses can be
//! opened directly. Without a client `/` is a page that says how to get one.
//!
//! **Invariant:** every page goes out with the policy that allows scripts and styles of this server only, none inline.
//!
//! **Bounds:** files of at most [`FILE_MAX`] bytes, at most [`FILES_MAX`] of them.

use super::web_folder::{PAGE, WebFolder};
use super::{Shared, pages};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// In which encoding a file is looked for, best first, and what its name then ends with.
const ENCODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];
const FILE_MAX: u64 = 16 * 1024 * 1024;
const FILES_MAX: usize = 2_000;
/// Also used by the client's own tests.
const POLICY: &str = include_str!("../../../../web/content-security-policy.txt");
const BUILT_IN: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/web.rs"));

/// By path, without the slash before it.
#[derive(Default)]
struct Files(HashMap<String, File>);

struct File {
    media_type: &'static str,
    is_hashed: bool,
    etag: HeaderValue,
    plain: Bytes,
    /// By name of the encoding.
    encoded: Vec<(&'static str, Bytes)>,
}

pub(super) fn routes(folder: &WebFolder) -> Router<Arc<Shared>> {
    let files = Arc::new(Files::of(folder));
    let serve = move |method: Method, uri: Uri, headers: HeaderMap| {
        let files = Arc::clone(&files);
        async move { files.answer(&method, uri.path(), &headers) }
    };
    Router::new().route("/", any(serve.clone())).route("/{*path}", any(serve))
}

impl Files {
    fn built_in() -> Self {
        Self::new(BUILT_IN.iter().map(|(name, bytes)| ((*name).to_owned(), Bytes::from_static(bytes))).collect())
    }

    /// What cannot be read now is told, and the built-in client serves instead.
    fn of(folder: &WebFolder) -> Self {
        let folder = folder.as_str();
        let mut files = HashMap::new();
        if folder.is_empty() {
            return Self::built_in();
        }
        match read(Path::new(folder), "", &mut files) {
            Ok(()) => Self::new(files),
            Err(error) => {
                tracing::error!(folder, %error, "the web client cannot be read");
                Self::built_in()
            }
        }
    }

    fn new(mut all: HashMap<String, Bytes>) -> Self {
        let names: Vec<String> = all.keys().filter(|name| ENCODINGS.iter().all(|(_, end)| !name.ends_with(end))).cloned().collect();
        let mut files = HashMap::new();
        for name in names {
            let encoded = ENCODINGS.iter().filter_map(|(encoding, end)| Some((*encoding, all.remove(&format!("{name}{end}"))?))).collect();
            let Some(plain) = all.remove(&name) else { continue };
            let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&Sha256::digest(&plain)[..12]));
            let etag = HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("\"\""));
            files
                .insert(name.clone(), File { media_type: media_type(&name), is_hashed: name.starts_with("assets/"), etag, plain, encoded });
        }
        Self(files)
    }

    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response {
        let name = path.trim_start_matches('/');
        if method != Method::GET && method != Method::HEAD {
            let is_known = name.is_empty() || self.0.contains_key(name);
            return if is_known { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::NOT_FOUND }.into_response();
        }
        let page = || if name.is_empty() || wants_page(name, headers) { self.0.get(PAGE) } else { None };
        match self.0.get(name).or_else(page) {
            Some(file) => file.answer(headers),
            None if name.is_empty() => pages::welcome(),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

impl File {
    fn answer(&self, asked: &HeaderMap) -> Response {
        let told_encoding = self.encoded.iter().find(|(encoding, _)| accepts(asked, encoding));
        let body = told_encoding.map_or(&self.plain, |(_, bytes)| bytes);
        let is_known = asked.get(header::IF_NONE_MATCH).is_some_and(|tags| names(tags, &self.etag));
        let mut response = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { Response::new(Body::from(body.clone())) };
        let headers = response.headers_mut();
        let caching = if self.is_hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        headers.insert(header::ETAG, self.etag.clone());
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY.trim_ascii_end()));
        headers.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
        if let (Some((encoding, _)), false) = (told_encoding, is_known) {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        response
    }
}

/// A browser that opens an address of the client: no name of a file, no path of the interfaces.
fn wants_page(name: &str, headers: &HeaderMap) -> bool {
    let first = name.split('/').next().unwrap_or_default();
    let is_interface = matches!(first, "api" | "dev" | "ws" | "health" | "logic" | "assets");
    let has_extension = name.rsplit('/').next().is_some_and(|last| last.contains('.'));
    let accepts_html = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains("text/html"));
    !is_interface && !has_extension && accepts_html
}

/// Whether `Accept-Encoding` names it, and not with a weight of zero.
fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding));
        is_named && !parts.any(|part| part.strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0_f32)))
    })
}

fn names(tags: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(tags), Ok(etag)) = (tags.to_str(), etag.to_str()) else {
        return false;
    };
    tags.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == etag || tag == "*")
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn read(folder: &Path, prefix: &str, files: &mut HashMap<String, Bytes>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let kind = entry.metadata()?;
        if name.starts_with('.') {
            continue;
        }
        if kind.is_dir() {
            read(&entry.path(), &format!("{prefix}{name}/"), files)?;
        } else if kind.is_file() && kind.len() <= FILE_MAX && files.len() < FILES_MAX {
            files.insert(format!("{prefix}{name}"), std::fs::read(entry.path())?.into());
        } else {
            return Err(io::Error::other(format!("{prefix}{name} is too much")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;

    fn client() -> Files {
        let files = [
            ("index.html", "<!doctype html>"),
            ("assets/main-1a2b.js", "plain"),
            ("assets/main-1a2b.js.br", "brotli"),
            ("assets/main-1a2b.js.gz", "gzipped"),
            ("icon.svg", "<svg/>"),
        ];
        Files::new(files.map(|(name, text)| (name.to_owned(), Bytes::from_static(text.as_bytes()))).into())
    }

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn get(path: &str, asked: &[(HeaderName, &'static str)]) -> Response {
        client().answer(&Method::GET, path, &headers(asked))
    }

    fn told(response: &Response, name: HeaderName) -> &str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    async fn text(response: Response) -> String {
        String::from_utf8(to_bytes(response.into_body(), 100_000).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn pages_are_asked_for_again_and_hashed_files_are_kept() {
        let page = get("/", &[]);
        assert_eq!(told(&page, header::CONTENT_TYPE), "text/html; charset=utf-8");
        assert_eq!(told(&page, header::CACHE_CONTROL), "no-cache");
        let script = get("/assets/main-1a2b.js", &[]);
        assert_eq!(told(&script, header::CONTENT_TYPE), "text/javascript; charset=utf-8");
        assert_eq!(told(&script, header::CACHE_CONTROL), "public, max-age=31536000, immutable");
        assert_eq!(text(script).await, "plain");
        assert_eq!(told(&get("/icon.svg", &[]), header::CONTENT_TYPE), "image/svg+xml");
    }

    #[tokio::test]
    async fn the_best_encoding_that_is_accepted_is_sent() {
        for (accepted, body) in
            [("gzip, deflate, br", "brotli"), ("gzip", "gzipped"), ("br;q=0, gzip;q=0.5", "gzipped"), ("zstd", "plain"), ("", "plain")]
        {
            let answer = get("/assets/main-1a2b.js", &[(header::ACCEPT_ENCODING, accepted)]);
            assert_eq!(told(&answer, header::VARY), "accept-encoding");
            assert_eq!(told(&answer, header::CONTENT_ENCODING).is_empty(), body == "plain");
            assert_eq!(text(answer).await, body, "{accepted}");
        }
    }

    #[tokio::test]
    async fn what_is_known_is_not_sent_again() {
        let etag = told(&get("/icon.svg", &[]), header::ETAG).to_owned();
        let asked = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::try_from(format!("\"other\", W/{etag}")).unwrap())]);
        let answer = client().answer(&Method::GET, "/icon.svg", &asked);
        assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(told(&answer, header::ETAG), etag);
        assert_eq!(text(answer).await, "");
        assert_eq!(get("/icon.svg", &[(header::IF_NONE_MATCH, "\"other\"")]).status(), StatusCode::OK);
    }

    #[test]
    fn addresses_of_the_client_open_its_page_and_nothing_else_does() {
        let html = [(header::ACCEPT, "text/html,application/xhtml+xml")];
        for (path, asked, status) in [
            ("/chat/7", &html[..], StatusCode::OK),
            ("/chat/7", &[], StatusCode::NOT_FOUND),
            ("/chat.js", &html, StatusCode::NOT_FOUND),
            ("/assets/gone", &html, StatusCode::NOT_FOUND),
            ("/api/v1/nothing", &html, StatusCode::NOT_FOUND),
            ("/assets/../index.html", &[], StatusCode::NOT_FOUND),
            ("/assets/main-1a2b.js.br", &[], StatusCode::NOT_FOUND),
        ] {
            assert_eq!(get(path, asked).status(), status, "{path}");
        }
        let post = |path| client().answer(&Method::POST, path, &HeaderMap::new()).status();
        assert_eq!((post("/"), post("/nothing")), (StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_FOUND));
    }

    #[test]
    fn the_policy_allows_nothing_inline() {
        let page = get("/", &[]);
        let policy = told(&page, header::CONTENT_SECURITY_POLICY);
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    }

    #[tokio::test]
    async fn without_a_client_the_first_page_says_how_to_get_one() {
        let page = Files::default().answer(&Method::GET, "/", &HeaderMap::new());
        assert!(text(page).await.contains("cargo xtask run"));
    }

    #[test]
    fn a_folder_is_read_with_its_folders_and_without_hidden_files() {
        let folder = std::env::temp_dir().join(format!("skein-web-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("assets")).unwrap();
        let named = || WebFolder::try_from(folder.to_str().unwrap().to_owned());
        assert!(named().is_err(), "no page in it yet");
        for (name, text) in [("index.html", "page"), ("assets/a.css", "a"), (".gitignore", "*")] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let files = Files::of(&named().unwrap());
        std::fs::remove_dir_all(&folder).unwrap();
        let mut names: Vec<&str> = files.0.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["assets/a.css", "index.html"]);
    }
}
