//! nginx's own answers: they protect browsers as the API's do, and tell nobody what they are of.

use reqwest::{Method, Response};

use crate::support::{Site, seconds, until};

/// What every answer must say, once.
fn look_at(what: &str, answer: &Response) {
    let framers = if what.contains("/embed/") { "frame-ancestors *" } else { "frame-ancestors 'self'" };
    for (name, part) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("permissions-policy", "camera=()"),
        ("content-security-policy", framers),
    ] {
        let values: Vec<_> = answer.headers().get_all(name).iter().collect();
        let told = values.first().and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert!(values.len() == 1 && told.contains(part), "{what}: {name}: {values:?}");
        assert!(!told.contains("unsafe") || what.ends_with("/graphiql 200"), "{what}: {told}");
    }
    assert_eq!(
        answer.headers().get("server").map(|value| value.as_bytes()),
        Some(b"nginx".as_slice()),
        "{what}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_the_public_door_protects_browsers() {
    let _turn = crate::turn().await;
    let mut site = Site::start(&[]).await;
    let loc = "0192d4e0-7d3c-7c1e-9c7a-000000000000";
    let token = "A".repeat(76);
    let ask = async |method: &Method, path: &str| {
        site.client.request(method.clone(), site.url(path)).send().await.expect("an answer")
    };
    for (method, path, status) in [
        (Method::GET, "/".to_owned(), 200),
        (Method::GET, "/graphiql".to_owned(), 200),
        (Method::GET, format!("/embed/{loc}/"), 200),
        (Method::GET, "/graphql".to_owned(), 400),
        (Method::GET, "/nothing".to_owned(), 404),
        (Method::GET, format!("/live/{loc}/index.m3u8"), 404),
        (Method::OPTIONS, format!("/live/{loc}/index.m3u8"), 204),
        (Method::POST, format!("/live/{loc}/index.m3u8"), 405),
        (Method::OPTIONS, format!("/recordings/{loc}/{loc}/index.m3u8"), 204),
        (Method::OPTIONS, format!("/clips/~{token}/{loc}/{loc}/video.mp4"), 204),
        (Method::GET, format!("/live/~{token}/{loc}/index.m3u8"), 403),
        (Method::GET, "/live/elsewhere".to_owned(), 404),
        (Method::GET, format!("/stream-thumb/{loc}.png"), 200),
        (Method::GET, format!("/covers/{loc}/{loc}.jpg"), 404),
        (Method::POST, format!("/covers/{loc}/{loc}.jpg"), 405),
        (Method::GET, format!("/covers/{loc}/{loc}.png"), 404),
        (Method::PUT, format!("/channels/{loc}/cover"), 401),
        (Method::GET, "/media-auth".to_owned(), 404),
        (Method::TRACE, "/".to_owned(), 405),
        (Method::GET, format!("/{}", "x".repeat(20_000)), 414),
    ] {
        let answer = ask(&method, &path).await;
        let what = format!("{method} {} {status}", &path[..path.len().min(60)]);
        assert_eq!(answer.status().as_u16(), status, "{what}");
        look_at(&what, &answer);
    }
    let large = site.client.post(site.url("/graphql")).body("x".repeat(300 * 1024)).send().await;
    let large = large.expect("an answer");
    assert_eq!(large.status(), 413);
    look_at("a large body", &large);
    let cover = site.client.put(site.url(&format!("/channels/{loc}/cover")));
    let large = cover.body(vec![0; 9 << 20]).send().await.expect("an answer");
    assert_eq!(large.status(), 413);
    look_at("a large cover", &large);
    site.kill_api().await;
    for path in ["/", "/graphql", "/embed/x/"] {
        let away = until("nginx answers by itself", seconds(10), async || {
            let answer = site.client.get(site.url(path)).send().await.ok()?;
            (answer.status() == 503).then_some(answer)
        });
        let away = away.await;
        assert!(away.headers().contains_key("retry-after"));
        look_at(path, &away);
    }
    site.start_again().await;
    site.stop().await;
}
