//! What documents cost by the schema's own rules: all that is executed, however it is written down.

use serde_json::{Value, json};

use crate::attacks::{Attack, hidden};
use crate::site::Site;
use crate::socket::Socket;

async fn cost(site: &Site, document: &str, variables: Value) -> u64 {
    let answer = site.anonymous().ask(document, variables).await;
    answer["extensions"]["cost"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fragment_with_a_name_costs_as_much_as_one_without() {
    let site = Site::start().await;
    let inside = "pastStreams(first: 1) { nodes { id } }";
    for root in ["node(id: $id)", "nodes(ids: [$id])"] {
        let named = format!(
            "query ($id: ID!) {{ {root} {{ ...F }} }} fragment F on Channel {{ {inside} ...G }}
                fragment G on Channel {{ id }}"
        );
        let inline = format!("query ($id: ID!) {{ {root} {{ ... on Channel {{ {inside} id }} }} }}");
        let id = json!({"id": "ch_0"});
        let charged = cost(&site, &named, id.clone()).await;
        assert_eq!(charged, cost(&site, &inline, id).await, "{root}");
        assert!(charged > 300, "the list is in it: {charged}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_of_the_database_by_itself_costs_more_than_a_field() {
    let site = Site::start().await;
    let nobody = json!({});
    assert_eq!(cost(&site, "{ me { id } }", nobody.clone()).await, 2);
    assert_eq!(cost(&site, "{ user(handle: \"nobody\") { id } }", nobody.clone()).await, 41);
    assert_eq!(cost(&site, "{ topics { id } }", nobody.clone()).await, 400);
    let nodes = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }";
    for many in [1, 100] {
        assert_eq!(cost(&site, nodes, json!({"ids": vec!["us_0"; many]})).await, 300 + many as u64);
    }
    assert_eq!(cost(&site, "{ channels(first: 30) { nodes { __typename } } }", nobody).await, 300 + 30 * 2);
}

/// Each of them small, by the rules that look at the text alone, and far too much work.
#[tokio::test(flavor = "multi_thread")]
async fn work_is_not_had_for_nothing_by_how_it_is_written() {
    let site = Site::start().await;
    let clips: Vec<String> = (0..100).map(|number| format!("cl_{number:032x}")).collect();
    for Attack { query, variables, name } in hidden(&clips) {
        let answer = site.anonymous().ask(&query, variables).await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "DOCUMENT_REFUSED", "{name}: {answer}");
        assert_eq!(answer["errors"][0]["message"], "Query is too complex.", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_may_cost_less_than_what_is_asked_once() {
    let site = Site::start().await;
    let mut socket = Socket::open(site.public).await;
    let lists = "subscription { streamEvents { stream { channel {
        pastStreams(first: 100) { nodes { id uuid name state startedAt endedAt stopReason
            channel { id loc name description imageUrl chatEnabled record protected views } } } } } } }";
    socket.start("dear", lists, json!({})).await;
    assert_eq!(socket.refusal("dear").await.0, "DOCUMENT_REFUSED");
}
