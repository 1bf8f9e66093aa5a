//! The web pages, built into the binary; a debug build reads them from `web/dist` as they are now.
//!
//! What the build has packed lies there as `NAME.gz` alone, and goes out as it is to whoever takes gzip, which is every
//! browser: nothing is compressed while serving, and nothing is held in memory but the binary's own pages. For others it
//! is unpacked, 3 MB in 10 ms at the most.

use std::borrow::Cow;
use std::io::Read;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use flate2::read::GzDecoder;
use rust_embed::{Embed, EmbeddedFile};

use super::POLICY;

#[derive(Embed)]
#[folder = "$CARGO_MANIFEST_DIR/web/dist"]
#[allow_missing = true]
struct Dist;

/// Names of files in here hold a hash of their content, so they never change.
const ASSETS: &str = "assets/";
/// What `/assets/*` may be kept for.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Kept, but asked about each time.
const ASK_AGAIN: &str = "no-cache";
/// A moment: a real picture may take the placeholder's place soon.
const A_MOMENT: &str = "public, max-age=60";

/// The addresses of the site's pages. One page answers on all of them and shows what belongs to the address.
const PAGES: [&str; 9] = [
    "/",
    "/view/{loc}/",
    "/sign-in",
    "/sign-up",
    "/account",
    "/studio",
    "/studio/new",
    "/studio/{loc}/",
    "/dashboard",
];

/// The pages' routes.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let pages = PAGES.into_iter().fold(Router::new(), |routes, path| routes.route(path, get(index)));
    pages
        .route("/studio/", get(index))
        .route("/view/{loc}", get(async |loc| with_slash("view", loc)))
        .route("/studio/{loc}", get(async |loc| with_slash("studio", loc)))
        .route("/embed/{loc}", get(async |loc| with_slash("embed", loc)))
        .route("/embed/{loc}/", get(embed))
        .route("/graphiql", get(graphiql))
        .route("/graphiql/", get(graphiql))
        .route("/assets/{*path}", get(asset))
        .route("/stream-thumb/placeholder.png", get(async || placeholder("image/png", PICTURE)))
        .route("/stream-thumb/placeholder.gif", get(async || placeholder("image/gif", LOOP)))
}

async fn index(headers: HeaderMap) -> Response {
    file("index.html", ASK_AGAIN, &headers).unwrap_or_else(not_built)
}

/// GraphiQL writes styles into its page.
async fn graphiql(headers: HeaderMap) -> Response {
    let response = file("graphiql.html", ASK_AGAIN, &headers).unwrap_or_else(not_built);
    with_policy(response, "style-src 'self'", "style-src 'self' 'unsafe-inline'; font-src 'self' data:")
}

/// The player alone, which every site may put into a frame: nothing on that page changes anything, so nobody can be
/// tricked into pressing what they do not see. nginx says the same of its own answers there.
async fn embed(headers: HeaderMap) -> Response {
    let response = file("embed.html", ASK_AGAIN, &headers).unwrap_or_else(not_built);
    with_policy(response, "frame-ancestors 'self'", "frame-ancestors *")
}

/// The page under the policy of all pages but for one part of it.
fn with_policy(mut page: Response, part: &str, instead: &str) -> Response {
    if let Ok(policy) = HeaderValue::from_str(&POLICY.replace(part, instead)) {
        page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    page
}

fn with_slash(pages: &str, Path(loc): Path<String>) -> Response {
    let loc = percent_encoding::utf8_percent_encode(&loc, percent_encoding::NON_ALPHANUMERIC).to_string();
    // A UUID's hyphens are as good as they are.
    Redirect::permanent(&format!("/{pages}/{}/", loc.replace("%2D", "-"))).into_response()
}

async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    file(&format!("{ASSETS}{path}"), FOR_EVER, &headers)
        .unwrap_or_else(|| plain(StatusCode::NOT_FOUND, "not found\n"))
}

/// What has no route: a file beside the pages, such as `/favicon.svg`; else a page that says so for people, and a
/// line for programs.
pub(super) async fn missing(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let name = uri.path().trim_start_matches('/');
    // Pages have routes of their own, with headers of their own.
    if method == Method::GET
        && !name.ends_with(".html")
        && let Some(found) = file(name, ASK_AGAIN, &headers)
    {
        return found;
    }
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut unconditional = headers.clone();
    unconditional.remove(header::IF_NONE_MATCH);
    match file("index.html", ASK_AGAIN, &unconditional) {
        Some(mut page) if method == Method::GET && accept.contains("text/html") => {
            *page.status_mut() = StatusCode::NOT_FOUND;
            page
        }
        _ => plain(StatusCode::NOT_FOUND, "not found\n"),
    }
}

/// Shown until a broadcast has a picture of its own.
const PICTURE: &[u8] = include_bytes!("assets/placeholder.png");
/// Shown until a broadcast has a loop of its own.
const LOOP: &[u8] = include_bytes!("assets/placeholder.gif");

fn placeholder(media: &'static str, bytes: &'static [u8]) -> Response {
    ([(header::CONTENT_TYPE, media), (header::CACHE_CONTROL, A_MOMENT)], bytes).into_response()
}

fn not_built() -> Response {
    plain(StatusCode::NOT_FOUND, "The web pages are not part of this build: run `make`.\n")
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], text).into_response()
}

fn file(name: &str, keep: &'static str, headers: &HeaderMap) -> Option<Response> {
    // The binary holds no such names; the disk that a debug build reads from does.
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return None;
    }
    match Dist::get(&format!("{name}.gz")) {
        Some(found) => Some(serve(name, found, true, keep, headers)),
        None => Some(serve(name, Dist::get(name)?, false, keep, headers)),
    }
}

fn serve(
    name: &str,
    found: EmbeddedFile,
    is_packed: bool,
    keep: &'static str,
    asked: &HeaderMap,
) -> Response {
    let unpacks = is_packed && !takes_gzip(asked);
    let tag: String = found.metadata.sha256_hash()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    // Each encoding has its own tag, as it must.
    let tag = format!("\"{tag}{}\"", if unpacks { "-plain" } else { "" });
    let fixed = [
        (header::CONTENT_TYPE, media_type(name)),
        (header::CACHE_CONTROL, keep),
        (header::VARY, "Accept-Encoding"),
    ];
    let mut response = if is_known(asked, &tag) {
        (StatusCode::NOT_MODIFIED, fixed).into_response()
    } else {
        let body = match found.data {
            packed if unpacks => unpacked(&packed).into(),
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => bytes.into(),
        };
        (fixed, body).into_response()
    };
    let mut add = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    add(header::ETAG, &tag);
    if is_packed && !unpacks {
        add(header::CONTENT_ENCODING, "gzip");
    }
    response
}

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    // It was packed with the build, so that it cannot be broken.
    let _ = GzDecoder::new(packed).read_to_end(&mut plain);
    plain
}

fn is_known(asked: &HeaderMap, tag: &str) -> bool {
    let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known
        .flat_map(|list| list.split(','))
        .map(|it| it.trim().trim_start_matches("W/"))
        .any(|it| it == tag || it == "*")
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|list| list.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        gzip && !parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0)))
    })
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("webp") => "image/webp",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("woff") => "font/woff",
        Some("ttf") => "font/ttf",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use flate2::read::GzEncoder;

    use super::*;

    #[test]
    fn nothing_outside_the_pages_is_a_file() {
        for name in
            ["", "../../Cargo.toml", "assets/../../dist/../package.json", "/etc/passwd", "./index.html"]
        {
            assert!(file(name, ASK_AGAIN, &HeaderMap::new()).is_none(), "{name}");
        }
    }

    fn found(data: impl Into<Cow<'static, [u8]>>) -> EmbeddedFile {
        let metadata = rust_embed::Metadata::__rust_embed_new([7; 32], None, None);
        EmbeddedFile { data: data.into(), metadata }
    }

    fn asking(name: HeaderName, value: impl TryInto<HeaderValue>) -> HeaderMap {
        HeaderMap::from_iter([(name, value.try_into().ok().unwrap())])
    }

    #[test]
    fn a_file_that_the_client_has_is_not_sent_again() {
        let serve = |asked: &HeaderMap| serve("a.js", found(b"hello".as_slice()), false, FOR_EVER, asked);
        let first = serve(&HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert!(!first.headers().contains_key(header::CONTENT_ENCODING));
        assert_eq!(first.headers()[header::CACHE_CONTROL], FOR_EVER);
        let asked = asking(header::IF_NONE_MATCH, &first.headers()[header::ETAG]);
        assert_eq!(serve(&asked).status(), StatusCode::NOT_MODIFIED);
    }

    #[tokio::test]
    async fn what_is_packed_is_unpacked_for_those_who_do_not_take_it() {
        let mut packed = Vec::new();
        GzEncoder::new(b"hello".as_slice(), flate2::Compression::best()).read_to_end(&mut packed).unwrap();
        let serve = |asked: &HeaderMap| serve("a.js", found(packed.clone()), true, FOR_EVER, asked);
        let body = async |answer: Response| to_bytes(answer.into_body(), 1000).await.unwrap();
        let (theirs, plain) = (serve(&asking(header::ACCEPT_ENCODING, "gzip")), serve(&HeaderMap::new()));
        assert_eq!(theirs.headers()[header::CONTENT_ENCODING], "gzip");
        assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
        assert_ne!(theirs.headers()[header::ETAG], plain.headers()[header::ETAG]);
        assert_eq!(body(theirs).await, packed);
        assert_eq!(body(plain).await, "hello");
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        let takes = |value: &'static str| {
            takes_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))]))
        };
        assert!(takes("br, gzip;q=0.8") && takes("GZIP"));
        assert!(!takes("br") && !takes("gzip;q=0") && !takes_gzip(&HeaderMap::new()));
    }
}
