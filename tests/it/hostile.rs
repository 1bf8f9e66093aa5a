//! Documents as large as the scan lets through, each built to cost as much as it can.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value, json};
use tally::graphql::scan;

use crate::toy::Toy;

/// The longest that a document may keep this unoptimised build busy; an optimised one is many times faster.
const MOST_MILLISECONDS: u128 = 250;

struct Attack {
    name: &'static str,
    query: String,
    variables: Value,
}

fn attack(name: &'static str, query: String) -> Attack {
    Attack { name, query, variables: json!({}) }
}

fn each(times: usize, write: impl Fn(usize) -> String) -> String {
    (0..times).map(write).collect()
}

/// Near the limits from beneath, so that most of these are admitted; what is refused costs next to nothing.
fn attacks() -> Vec<Attack> {
    [selections(), texts_and_values(), repetitions(), schemas()].into_iter().flatten().collect()
}

fn selections() -> Vec<Attack> {
    let selected = "me ".repeat(60);
    vec![
        attack("many fields", format!("{{ {} }}", "me ".repeat(4_900))),
        attack("many unknown fields", format!("{{ {} }}", each(4_900, |n| format!("a{n} ")))),
        attack("many conflicts", format!("{{ {} {} }}", "b: me ".repeat(120), "b: address ".repeat(120))),
        attack(
            "conflicting arguments",
            format!(
                "{{ {} }}",
                each(20, |n| { format!("b: echo({}) ", each(75, |m| format!("x{m}: {n} "))) })
            ),
        ),
        attack(
            "inline fragments",
            format!("{{ {}{}{} }}", "...{".repeat(28), "me ".repeat(300), "}".repeat(28)),
        ),
        attack("inline fragments side by side", format!("{{ {} }}", "...{me}".repeat(1_200))),
        attack(
            "fragments in a chain",
            format!(
                "{{...F0}} {}",
                each(28, |n| { format!("fragment F{n} on Query {{ {selected} ...F{} }} ", n + 1) })
                    + "fragment F28 on Query { me }"
            ),
        ),
        attack(
            "a fragment spread often",
            format!("{{ {} }} fragment F on Query {{ {} }}", "...F ".repeat(90), "me ".repeat(90)),
        ),
        attack("long names", format!("{{ {} }}", format!("{} ", "n".repeat(128)).repeat(500))),
        attack(
            "unknown arguments",
            format!("{{ {} }}", each(18, |_| format!("me({}) ", each(90, |n| format!("x{n}:1 "))))),
        ),
    ]
}

fn texts_and_values() -> Vec<Attack> {
    vec![
        attack("a long string", format!("{{ echo(text: \"{}\") }}", "x".repeat(60_000))),
        attack("a long block string", format!("{{ echo(text: \"\"\"{}\"\"\") }}", "\n x".repeat(20_000))),
        attack("escaped quotes", format!("{{ echo(text: \"\"\"{}\"\"\") }}", "\\\"\"\"".repeat(15_000))),
        attack("many block strings", format!("{{ echo(text: [{}]) }}", "\"\"\"\"\"\" ".repeat(4_900))),
        attack("a long comment", format!("#{}\n{{me}}", "x".repeat(65_000))),
        attack("many comments", format!("{}{{me}}", "#\n".repeat(32_000))),
        attack("nothing but commas", format!("{{me{}}}", ",".repeat(65_000))),
        attack(
            "values in lists",
            format!("{{ echo(text: {}) }}", format!("{}1{} ", "[".repeat(25), "]".repeat(25)).repeat(90)),
        ),
        attack("objects in objects", format!("{{ echo(text: {}1{}) }}", "{a:".repeat(29), "}".repeat(29))),
    ]
}

fn repetitions() -> Vec<Attack> {
    vec![
        attack("many operations", each(20, |n| format!("query Q{n} {{ {} }} ", "me ".repeat(230)))),
        attack(
            "variables declared and not used",
            format!("query({}) {{ me }}", each(200, |n| format!("$v{n}: String "))),
        ),
        attack(
            "one variable used often",
            format!("query($t: String = \"{}\") {{ {} }}", "x".repeat(1_000), "echo(text: $t) ".repeat(690)),
        ),
        attack("directives", format!("{{ me {} }}", "@include(if: true) ".repeat(256))),
        attack("aliases", format!("{{ {} }}", each(256, |n| format!("a{n}: me ")))),
    ]
}

fn schemas() -> Vec<Attack> {
    vec![
        attack(
            "the schema over and over",
            format!("{{ {} }}", "__schema { types { fields { args { name } } } } ".repeat(30)),
        ),
        attack(
            "the schema in circles",
            "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }".to_owned(),
        ),
        attack(
            "the schema, wide",
            format!("{{ __schema {{ types {{ fields {{ {} }} }} }} }}", "name ".repeat(110)),
        ),
        attack("the parser's last word", format!("{{ {} ", "a(x: [{y: ".repeat(6))),
        attack("a syntax error at the end", format!("{{ {} ! }}", "me ".repeat(4_900))),
        Attack {
            name: "large variables",
            query: format!("query($v: [String]) {{ {} }}", "echo(text: $v) ".repeat(95)),
            variables: json!({"v": vec!["x"; 1_990]}),
        },
    ]
}

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
    for Attack { name, query, variables } in attacks() {
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
