//! Looking documents over, for the fuzzer.

use std::sync::OnceLock;

use async_graphql::Request;
use futures_util::FutureExt;
use serde_json::Map;

use super::{Mutation, Query, Schema, Subscription, builder, price, scan};

/// Scans a document, and parses and validates what the scan lets through.
pub fn fuzz(text: &str) {
    static PRICING: OnceLock<Schema<Query, Mutation, Subscription>> = OnceLock::new();
    if scan::admit(text, &Map::new(), &Map::new()).is_ok() {
        let pricing = PRICING.get_or_init(|| builder().extension(price::Pricing).finish());
        let answer = pricing.execute(Request::new(text)).now_or_never();
        assert!(answer.is_some(), "validating waits for nothing");
    }
}
