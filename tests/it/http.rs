//! The HTTP side: who is believed, what is refused, what every answer carries.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::Server;
use crate::toy::Toy;

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[tokio::test]
async fn a_token_says_who_asks_and_a_bad_one_is_refused() {
    let server = Server::start().await;
    let me = |reply: crate::support::Reply| reply.json()["data"]["me"].clone();
    assert_eq!(me(server.ask("{me}", &[]).await), "nobody");
    assert_eq!(me(server.ask("{me}", &[("Authorization", "Bearer mia")]).await), "mia");
    let bad = server.ask("{me}", &[("Authorization", "Bearer x")]).await;
    assert_eq!((bad.status, bad.code().as_str()), (401, "UNAUTHENTICATED"));
    let away = server.ask("{me}", &[("Authorization", "Bearer away")]).await;
    assert_eq!((away.status, away.code().as_str()), (503, "UNAVAILABLE"));
}

#[tokio::test]
async fn a_cookie_speaks_only_for_this_site() {
    let server = Server::start().await;
    let cookie = ("Cookie", "tally_session=mia");
    let other = server.ask("{me}", &[cookie, ("Origin", "https://evil.example")]).await;
    assert_eq!((other.status, other.code().as_str()), (403, "FORBIDDEN"));
    assert_eq!(server.ask("{me}", &[cookie]).await.status, 403);
    let own = server.ask("{me}", &[cookie, ("Origin", "https://tally.example")]).await;
    assert_eq!(own.json(), json!({"data": {"me": "mia"}}));
    let both = [cookie, ("Authorization", "Bearer tom"), ("Origin", "https://evil.example")];
    assert_eq!(server.ask("{me}", &both).await.json(), json!({"data": {"me": "tom"}}));
}

#[tokio::test]
async fn what_is_executed_answers_200_and_what_is_not_has_no_data() {
    let server = Server::start().await;
    let failed = server.ask("{fails}", &[]).await;
    assert_eq!((failed.status, failed.json()["data"].clone()), (200, json!(null)));
    assert!(failed.json().as_object().unwrap().contains_key("data"));
    assert_eq!(failed.code(), "NOT_FOUND");
    let soft = server.ask("{failsSoftly}", &[]).await;
    assert_eq!((soft.status, soft.json()["data"].clone()), (200, json!({"failsSoftly": null})));
    for refused in
        ["{", "{nothing}", "{me} {me}", "{ ...F } fragment F on Query { ...F }", "subscription { silence }"]
    {
        let reply = server.ask(refused, &[]).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "DOCUMENT_REFUSED"),
            "{refused}: {}",
            reply.body
        );
        assert!(!reply.json().as_object().unwrap().contains_key("data"), "{refused}");
    }
}

#[tokio::test]
async fn every_error_has_a_code_and_none_tells_a_cause() {
    let server = Server::start().await;
    let cases = [
        ("{blurts}", "INTERNAL"),
        ("{waits(milliseconds: 99999999999)}", "BAD_USER_INPUT"),
        ("{waits(milliseconds: \"x\")}", "DOCUMENT_REFUSED"),
        ("mutation { signIn signIn }", "DOCUMENT_REFUSED"),
    ];
    for (query, code) in cases {
        let reply = server.ask(query, &[]).await;
        assert_eq!(reply.code(), code, "{}", reply.body);
        assert!(!reply.body.contains("nobody's business"));
        let told = reply.json()["errors"][0]["extensions"]["requestId"].is_string();
        assert_eq!(told, code == "INTERNAL", "{}", reply.body);
    }
}

#[tokio::test]
async fn cookies_that_resolvers_set_are_passed_on() {
    let server = Server::start().await;
    let reply = server.ask("mutation { signIn }", &[]).await;
    let cookies: Vec<_> =
        reply.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, v)| v).collect();
    assert_eq!(cookies, ["tally_session=mia; HttpOnly", "other=1"]);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_get_must_not_change_anything() {
    let server = Server::start().await;
    let query = server.send("GET", "/graphql?query=%7Bme%7D", &[], "").await;
    assert_eq!((query.status, query.json()), (200, json!({"data": {"me": "nobody"}})));
    let mutation = server.send("GET", "/graphql?query=mutation%7BsignIn%7D", &[], "").await;
    assert_eq!((mutation.status, mutation.header("allow")), (405, Some("POST")));
    assert_eq!(mutation.header("set-cookie"), None);
    let put = server.send("PUT", "/graphql", &[JSON], "{}").await;
    assert_eq!((put.status, put.header("allow")), (405, Some("GET, POST")));
}

#[tokio::test]
async fn bodies_are_bounded_and_typed() {
    let server = Server::start().await;
    let status = async |headers: &[(&str, &str)], body: &str| {
        server.send("POST", "/graphql", headers, body).await.status
    };
    assert_eq!(status(&[("Content-Type", "text/plain")], "{\"query\":\"{me}\"}").await, 415);
    assert_eq!(status(&[JSON], "[{\"query\":\"{me}\"}]").await, 400);
    assert_eq!(status(&[JSON], &"x".repeat(300 * 1024)).await, 413);
    assert_eq!(status(&[JSON, ("Accept", "text/html")], "{\"query\":\"{me}\"}").await, 406);
    let announced = server.send("POST", "/graphql", &[JSON, ("Content-Length", "1000000000")], "").await;
    assert_eq!(announced.status, 413, "refused unread");
    let chunk = "x".repeat(0x10000);
    let chunked: String = (0..5).map(|_| format!("10000\r\n{chunk}\r\n")).collect();
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(format!("{head}{chunked}").as_bytes()).await.unwrap();
    let mut reply = [0; 12];
    stream.read_exact(&mut reply).await.unwrap();
    assert_eq!(&reply, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_panic_is_an_answer_with_an_id_and_the_next_request_is_served() {
    let server = Server::start().await;
    let reply = server.ask("{panics(really: true)}", &[]).await;
    assert_eq!((reply.status, reply.code().as_str()), (500, "INTERNAL"));
    let id = reply.json()["errors"][0]["extensions"]["requestId"].clone();
    assert_eq!(id.as_str(), reply.header("x-request-id"));
    assert!(!reply.body.contains("as asked"));
    assert_eq!(server.ask("{me}", &[]).await.status, 200);
}

#[tokio::test]
async fn an_execution_that_waits_too_long_is_given_up() {
    let server = Server::impatient().await;
    let reply = server.ask("{waits(milliseconds: 60000)}", &[]).await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "UNAVAILABLE"));
}

#[tokio::test]
async fn a_proxy_on_this_machine_tells_the_address() {
    let server = Server::start().await;
    let address = |reply: crate::support::Reply| reply.json()["data"]["address"].clone();
    assert_eq!(address(server.ask("{address}", &[]).await), "127.0.0.1");
    let forwarded = ("X-Forwarded-For", "6.6.6.6, 203.0.113.7");
    assert_eq!(address(server.ask("{address}", &[forwarded]).await), "203.0.113.7");
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_protect_browsers() {
    let server = Server::start().await;
    for path in ["/", "/graphiql", "/graphql", "/nothing", "/healthz", "/assets/none.js"] {
        let reply = server.send("GET", path, &[], "").await;
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("referrer-policy"), Some("same-origin"), "{path}");
        let policy = reply.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'self'"), "{path}");
        assert_eq!(policy.contains("unsafe-inline"), path == "/graphiql", "{path}");
        assert!(
            reply.header("permissions-policy").is_some() && reply.header("x-request-id").is_some(),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_player_alone_may_be_framed_by_every_site_and_no_other_page_may() {
    let server = Server::start().await;
    let loc = "0192d4e0-7d3c-7c1e-9c7a-000000000000";
    for (path, framers) in [
        (format!("/embed/{loc}/"), "*"),
        (format!("/embed/{loc}/more"), "'self'"),
        ("/embed/".to_owned(), "'self'"),
        (format!("/view/{loc}/"), "'self'"),
        (format!("/studio/{loc}/"), "'self'"),
        ("/sign-in".to_owned(), "'self'"),
        ("/dashboard".to_owned(), "'self'"),
        ("/nothing".to_owned(), "'self'"),
    ] {
        let reply = server.send("GET", &path, &[("accept", "text/html")], "").await;
        let policy = reply.header("content-security-policy").unwrap_or_default();
        let part = policy.split(';').map(str::trim).find(|part| part.starts_with("frame-ancestors"));
        assert_eq!(part, Some(&*format!("frame-ancestors {framers}")), "{path}");
        assert!(policy.contains("script-src 'self';") && reply.header("x-frame-options").is_none(), "{path}");
    }
    for page in ["view", "studio", "embed"] {
        let reply = server.send("GET", &format!("/{page}/{loc}"), &[], "").await;
        assert_eq!(reply.header("location"), Some(&*format!("/{page}/{loc}/")));
    }
}

#[tokio::test]
async fn health_says_what_is_wrong() {
    let server = Server::start().await;
    assert_eq!(server.send("GET", "/healthz", &[], "").await.status, 200);
    assert_eq!(server.send("GET", "/readyz", &[], "").await.status, 200);
    let unready = Server::of(Toy::unready("the database is away")).await;
    let reply = unready.send("GET", "/readyz", &[], "").await;
    assert_eq!((reply.status, reply.body.as_str()), (503, "the database is away\n"));
    assert_eq!(unready.send("GET", "/healthz", &[], "").await.status, 200);
}

#[tokio::test]
async fn placeholders_and_redirects_are_there_without_the_pages() {
    let server = Server::start().await;
    let png = server.send("GET", "/stream-thumb/placeholder.png", &[], "").await;
    assert_eq!((png.status, png.header("content-type")), (200, Some("image/png")));
    assert_eq!(
        server.send("GET", "/stream-thumb/placeholder.gif", &[], "").await.header("content-type"),
        Some("image/gif")
    );
    let view = server.send("GET", "/view/0192d4e0-7d3c-7c1e-9c7a-000000000000", &[], "").await;
    assert_eq!(view.header("location"), Some("/view/0192d4e0-7d3c-7c1e-9c7a-000000000000/"));
    let trick = server.send("GET", "/view/..%2F%2Fevil.example", &[], "").await;
    assert!(trick.header("location").unwrap_or_default().starts_with("/view/%2E%2E%2F"), "{trick:?}");
    assert_eq!(server.send("GET", "/nothing", &[], "").await.body, "not found\n");
}

#[tokio::test]
async fn a_head_too_large_is_refused() {
    let server = Server::start().await;
    let large = server.send("GET", "/healthz", &[("X", &"x".repeat(40_000))], "").await;
    assert_eq!(large.status, 431);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let server = Server::impatient().await;
    let reply = server.send("POST", "/graphql", &[JSON, ("Content-Length", "100")], "").await;
    assert_eq!(reply.status, 408);
}

#[tokio::test]
async fn a_stop_finishes_what_is_under_way_and_closes_what_is_idle() {
    let mut server = Server::start().await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    let url = server.url("/graphql");
    let address = server.address;
    let busy = async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let body = json!({"query": "{waits(milliseconds: 300)}"}).to_string();
        let head = format!(
            "POST {url} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        reply
    };
    let stop = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.lifecycle.finish().await
    };
    let (reply, drained) = tokio::join!(busy, stop);
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("300"), "{reply}");
    assert!(drained);
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0);
}
