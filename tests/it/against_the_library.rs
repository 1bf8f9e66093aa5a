//! Our own HTTP layer is stricter than the library's about what it takes; about what it takes, both must say the same.

use serde_json::{Value, json};
use tally::http;
use tally::lifecycle::Lifecycle;
use tokio::net::TcpListener;

use crate::support::Server;
use crate::toy::Toy;

#[tokio::test]
async fn what_both_take_both_answer_alike() {
    let toy = Toy::default();
    let ours = Server::of(toy.clone()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let theirs = format!("http://{}/graphql", listener.local_addr().unwrap());
    let lifecycle = Lifecycle::default();
    let tasks = lifecycle.tasks().clone();
    tasks.keep("the library's", http::serve(listener, toy.behind_the_library(), tasks.clone()));

    let client = tally::ambient::http_client().build().unwrap();
    let ask = async |url: &str, body: &Value| -> Value {
        let request = client.post(url).header("content-type", "application/json").body(body.to_string());
        let text = request.send().await.unwrap().text().await.unwrap();
        let mut answer: Value = serde_json::from_str(&text).unwrap();
        // Messages are ours to word; where and what failed is not.
        for error in answer["errors"].as_array_mut().into_iter().flatten() {
            error.as_object_mut().unwrap().remove("message");
        }
        answer
    };
    for body in [
        json!({"query": "{ echo(text: \"é\\n围🎥\") }"}),
        json!({"query": "query A { echo(text: \"a\") } query B { b: echo(text: \"b\") }", "operationName": "B"}),
        json!({"query": "query ($t: String!) { x: echo(text: $t) y: echo(text: $t) }", "variables": {"t": "v"}}),
        json!({"query": "{ failsSoftly echo(text: \"still\") }"}),
        json!({"query": "{ fails }"}),
        json!({"query": "{ __typename ... on Query { echo(text: \"in a fragment\") } }"}),
        json!({"query": "mutation { signIn }"}),
        json!({"query": "{ __type(name: \"Query\") { fields { name args { name type { name } } } } }"}),
    ] {
        assert_eq!(ask(&ours.url("/graphql"), &body).await, ask(&theirs, &body).await, "{body}");
    }
}
