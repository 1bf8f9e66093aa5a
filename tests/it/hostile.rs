//! What hostile documents cost, on a small schema.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::Map;
use tally::graphql::scan;

use crate::attacks::{Attack, Root, attacks};
use crate::toy::Toy;

/// The longest that a document may keep this unoptimised build busy; an optimised one is many times faster.
const MOST_MILLISECONDS: u128 = 250;

/// The root of the toy schema.
const ROOT: Root = Root {
    plain: "me",
    other: "address",
    taking: |text| format!("echo(text: {text})"),
    given: |arguments| format!("echo({arguments})"),
};

/// The processor time of this thread, which the test's runtime does not leave: what else the machine does, and for
/// how long, does not count.
fn spent() -> Duration {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(spent.tv_sec.unsigned_abs(), u32::try_from(spent.tv_nsec).unwrap())
}

#[tokio::test]
async fn no_document_costs_more_than_a_moment() {
    let toy = Toy::default();
    let mut costs = BTreeMap::new();
    for Attack { name, query, variables } in attacks(&ROOT) {
        let started = spent();
        let admitted = scan::admit(&query, variables.as_object().expect("an object"), &Map::new());
        let scanned = spent().saturating_sub(started).as_micros();
        let mut size = 0;
        if admitted.is_ok() {
            size = toy.answer(&query, variables).await;
        }
        let milliseconds = spent().saturating_sub(started).as_millis();
        let told =
            admitted.map_or_else(|refusal| refusal.to_string(), |()| format!("{size} bytes of answer"));
        println!("{milliseconds:>6} ms, scan {scanned:>6} µs  {name}: {told}");
        costs.insert(milliseconds, name);
    }
    let (most, name) = costs.pop_last().expect("attacks");
    assert!(most <= MOST_MILLISECONDS, "{name} took {most} ms");
}
