//! Who gets in from where: pages of other origins, many sockets of one address, bodies without end.

use axum::http::Method;
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::nginx::eventually;
use crate::site::Site;
use crate::support::{Reply, Server};

const APP: (&str, &str) = ("Origin", "https://app.example");

/// What a browser sends before it sends JSON to another origin.
async fn preflight(server: &Server, origin: &str) -> Reply {
    let asked = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,content-type"),
    ];
    server.send("OPTIONS", "/graphql", &asked, "").await
}

async fn with_origins() -> Server {
    let origins = ["https://app.example".parse().unwrap(), "http://localhost:5173".parse().unwrap()];
    Server::told(|public| public.with_cors_origins(&origins)).await
}

#[tokio::test]
async fn pages_of_the_origins_that_are_named_may_read_answers_and_no_others() {
    let server = with_origins().await;
    for origin in ["https://app.example", "http://localhost:5173"] {
        let allowed = preflight(&server, origin).await;
        assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, Some(origin)));
        assert_eq!(allowed.header("access-control-allow-methods"), Some("GET,POST"));
        assert_eq!(allowed.header("access-control-allow-headers"), Some("authorization,content-type"));
        assert!(allowed.header("vary").unwrap().contains("origin"));
        for query in ["{me}", "{nothing}"] {
            let answer = server.ask(query, &[("Origin", origin)]).await;
            assert_eq!(answer.header("access-control-allow-origin"), Some(origin), "{query}");
            assert_eq!(answer.header("access-control-expose-headers"), Some("x-request-id"), "{query}");
        }
    }
    for origin in [
        "https://app.example.evil.example",
        "https://evil.example",
        "http://app.example",
        "https://app.example:8443",
        "https://APP.example/",
        "null",
        "*",
    ] {
        assert_eq!(preflight(&server, origin).await.header("access-control-allow-origin"), None, "{origin}");
        let answer = server.ask("{me}", &[("Origin", origin)]).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
    }
    let health = server.send("GET", "/healthz", &[APP], "").await;
    assert_eq!(health.header("access-control-allow-origin"), None, "it is about /graphql alone");
}

#[tokio::test]
async fn no_cookie_speaks_from_another_origin_even_one_that_is_named() {
    let server = with_origins().await;
    let cookie = ("Cookie", "tally_session=mia");
    let refused = server.ask("{me}", &[APP, cookie]).await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "FORBIDDEN"));
    let bearer = server.ask("{me}", &[APP, ("Authorization", "Bearer mia")]).await;
    assert_eq!(bearer.json()["data"]["me"], "mia");
    for answer in [refused, bearer, preflight(&server, APP.1).await] {
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
}

#[tokio::test]
async fn unless_origins_are_named_nothing_is_said_of_them() {
    let server = Server::start().await;
    let asked = preflight(&server, APP.1).await;
    assert_eq!((asked.status, asked.header("allow")), (405, Some("GET, POST")));
    for answer in [asked, server.ask("{me}", &[APP]).await] {
        assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control")), "{answer:?}");
    }
}

#[tokio::test]
async fn one_address_has_so_many_sockets_and_no_more() {
    let server = Server::told(|public| public.with_sockets_per_address(2)).await;
    let open = async |address: &str| {
        let mut request = format!("ws://{}/graphql", server.address).into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        headers.insert("x-forwarded-for", address.parse().unwrap());
        match connect_async(request).await {
            Ok((socket, _)) => Ok(socket),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    };
    let mut first = open("192.0.2.1").await.unwrap();
    let _second = open("6.6.6.6, 192.0.2.1").await.unwrap();
    assert_eq!(open("192.0.2.1").await.err(), Some(429));
    assert_eq!(open("7.7.7.7, 192.0.2.1").await.err(), Some(429), "only nginx's own word counts");
    let _elsewhere = open("192.0.2.2").await.unwrap();
    first.close(None).await.unwrap();
    let mut third = None;
    eventually("its place is free again", async || {
        third = open("192.0.2.1").await.ok();
        third.is_some()
    })
    .await;
}

#[tokio::test]
async fn a_body_without_end_is_not_read_to_its_end() {
    let server = Server::start().await;
    let head = "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let chunk = "x".repeat(0x10000);
    for (kind, begin, more) in [
        ("announced", "Content-Length: 1000000000\r\n\r\n", chunk.clone()),
        ("in chunks", "Transfer-Encoding: chunked\r\n\r\n", format!("10000\r\n{chunk}\r\n")),
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(format!("{head}{begin}").as_bytes()).await.unwrap();
        let (mut reply, mut sending) = stream.split();
        let mut sent = 0_usize;
        let send = async {
            while sent < 1_000_000_000 && sending.write_all(more.as_bytes()).await.is_ok() {
                sent += more.len();
            }
        };
        let mut status = [0; 12];
        let read = async { reply.read_exact(&mut status).await.unwrap() };
        tokio::join!(send, read);
        assert_eq!(&status, b"HTTP/1.1 413", "{kind}");
        assert!(sent < 32 * 1024 * 1024, "{kind}: {sent} bytes were taken");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_tells_no_statement_and_guesses_at_no_name() {
    let site = Site::start().await;
    let unknown = site.answer("{ liveStream { nodes { nam } } }", json!({})).await;
    assert_eq!(unknown["errors"][0]["extensions"]["code"], "DOCUMENT_REFUSED");
    assert!(!unknown.to_string().contains("mean"), "{unknown}");
    let mut connection = AsyncPgConnection::establish(site.url.reveal()).await.unwrap();
    connection.batch_execute("ALTER TABLE users RENAME TO something_else").await.unwrap();
    let broken = site.answer("{ user(handle: \"mia\") { id } }", json!({})).await;
    let error = &broken["errors"][0];
    assert_eq!(error["extensions"]["code"], "INTERNAL");
    assert!(error["extensions"]["requestId"].is_string());
    let told = broken.to_string().to_lowercase();
    assert!(
        ["users", "relation", "select", "postgres", "diesel"].iter().all(|word| !told.contains(word)),
        "{told}"
    );
}

#[tokio::test]
async fn every_method_and_every_error_carries_the_headers_that_protect_browsers() {
    let server = with_origins().await;
    for method in [Method::GET, Method::POST, Method::PUT, Method::OPTIONS, Method::HEAD, Method::DELETE] {
        for path in [
            "/graphql",
            "/",
            "/nothing",
            "/view/x/",
            "/graphiql",
            "/studio",
            "/readyz",
            "/stream-thumb/placeholder.png",
        ] {
            let reply = server.send(method.as_str(), path, &[APP], "").await;
            let header = |name: &str| reply.header(name).unwrap_or_else(|| panic!("{method} {path}: {name}"));
            assert_eq!(header("x-content-type-options"), "nosniff");
            let policy = header("content-security-policy");
            let scripts = policy.split(';').find(|part| part.trim().starts_with("script-src")).unwrap();
            assert_eq!(scripts.trim(), "script-src 'self'", "{method} {path}");
            header("referrer-policy");
            header("permissions-policy");
        }
    }
}
