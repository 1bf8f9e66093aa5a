//! Looking documents over, for the fuzzer.

use std::sync::OnceLock;

use async_graphql::{Request, Response, Variables};
use futures_util::FutureExt;
use serde_json::Map;

use super::{Mutation, Query, Schema, Subscription, price, pricing, scan, validating};

type Schemas = [Schema<Query, Mutation, Subscription>; 2];

/// Scans a document, and parses, validates and prices what the scan lets through.
pub fn fuzz(text: &str) {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    if scan::admit(text, &Map::new(), &Map::new()).is_err() {
        return;
    }
    let Ok(document) = Request::new(text).parsed_query().cloned() else { return };
    let [validating, pricing] = SCHEMAS.get_or_init(|| [validating(), pricing()]);
    let ask = |schema: &Schema<Query, Mutation, Subscription>, document| -> Response {
        let answer = schema.execute(price::enquiry(document, None, &Variables::default())).now_or_never();
        answer.expect("validating waits for nothing")
    };
    let valid = ask(validating, document.clone());
    if valid.errors.is_empty() {
        let priced = ask(pricing, price::written_out(&document));
        let is_dear = priced.errors.iter().any(|error| error.message == "Query is too complex.");
        assert!(is_dear || priced.errors.is_empty(), "what is valid has a price: {:?}", priced.errors);
        assert!(is_dear || price::read(&priced) >= price::read(&valid), "nothing of it is passed over");
    }
}
