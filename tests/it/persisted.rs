//! Automatic persisted queries: a document that was sent once is named by its hash.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::site::Site;
use crate::socket::Socket;
use crate::support::{Reply, Server};

fn hash_of(document: &str) -> String {
    Sha256::digest(document).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn named(hash: &str) -> Value {
    json!({"persistedQuery": {"version": 1, "sha256Hash": hash}})
}

async fn post(server: &Server, body: Value) -> Reply {
    server.send("POST", "/graphql", &[("Content-Type", "application/json")], &body.to_string()).await
}

async fn get(server: &Server, hash: &str) -> Reply {
    let extensions = named(hash).to_string().replace('{', "%7B").replace('}', "%7D").replace('"', "%22");
    server.send("GET", &format!("/graphql?extensions={extensions}"), &[], "").await
}

#[tokio::test]
async fn a_document_that_was_sent_once_is_named_by_its_hash() {
    let server = Server::start().await;
    let document = "{ me }";
    let hash = hash_of(document);
    for unknown in [post(&server, json!({"extensions": named(&hash)})).await, get(&server, &hash).await] {
        assert_eq!((unknown.status, unknown.code().as_str()), (200, "PERSISTED_QUERY_NOT_FOUND"));
        assert_eq!(unknown.json()["errors"][0]["message"], "PersistedQueryNotFound");
    }
    let sent = post(&server, json!({"query": document, "extensions": named(&hash)})).await;
    let short = post(&server, json!({"extensions": named(&hash.to_uppercase())})).await;
    let null = post(&server, json!({"query": null, "extensions": named(&hash)})).await;
    for reply in [sent, short, null, get(&server, &hash).await] {
        assert_eq!(reply.json(), json!({"data": {"me": "nobody"}}));
    }
}

#[tokio::test]
async fn a_hash_names_its_own_document_and_no_other() {
    let server = Server::start().await;
    let wrong = post(&server, json!({"query": "{ me }", "extensions": named(&hash_of("{ other }"))})).await;
    assert_eq!(wrong.code(), "DOCUMENT_REFUSED");
    for (hash, refused) in [(hash_of("{ other }"), None), (hash_of("{"), Some("{"))] {
        if let Some(document) = refused {
            let reply = post(&server, json!({"query": document, "extensions": named(&hash)})).await;
            assert_eq!(reply.code(), "DOCUMENT_REFUSED");
        }
        let unknown = post(&server, json!({"extensions": named(&hash)})).await;
        assert_eq!(unknown.code(), "PERSISTED_QUERY_NOT_FOUND");
    }
    for bad in [
        json!(null),
        json!({"version": 2, "sha256Hash": hash_of("{ me }")}),
        json!({"version": 1, "sha256Hash": "é"}),
    ] {
        let reply = post(&server, json!({"extensions": {"persistedQuery": bad}})).await;
        assert_eq!((reply.status, reply.code().as_str()), (400, "BAD_USER_INPUT"), "{bad}");
    }
}

#[tokio::test]
async fn a_get_by_hash_changes_nothing_either() {
    let server = Server::start().await;
    let document = "mutation { signIn }";
    assert_eq!(post(&server, json!({"query": document})).await.json()["data"]["signIn"], true);
    let reply = get(&server, &hash_of(document)).await;
    assert_eq!((reply.status, reply.header("set-cookie")), (405, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_knows_what_was_sent_over_http() {
    let site = Site::start().await;
    let document = "subscription { streamEvents { __typename } }";
    let query = "{ topics { slug } }";
    site.anonymous().data(query, json!({})).await;
    let mut socket = Socket::open(site.public).await;
    let payload = json!({"extensions": named(&hash_of(query))});
    socket.say(json!({"id": "1", "type": "subscribe", "payload": payload})).await;
    let told = socket.read().await.unwrap();
    assert!(told["payload"]["data"]["topics"].is_array(), "{told}");
    assert_eq!(socket.read().await.unwrap()["type"], "complete");
    let payload = json!({"extensions": named(&hash_of(document))});
    socket.say(json!({"id": "2", "type": "subscribe", "payload": payload})).await;
    let told = socket.read().await.unwrap();
    assert_eq!(told["payload"][0]["extensions"]["code"], "PERSISTED_QUERY_NOT_FOUND", "{told}");
}
