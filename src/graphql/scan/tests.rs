use async_graphql::parser::parse_query;
use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn look(query: &str) -> Result<(), Refusal> {
    admit(query, &Map::new(), &Map::new())
}

fn with_variables(query: &str, variables: Value) -> Result<(), Refusal> {
    let Value::Object(variables) = variables else { panic!("variables are an object") };
    admit(query, &variables, &Map::new())
}

/// The largest query that graphql-js' `getIntrospectionQuery` makes, with all its options.
pub(crate) const INTROSPECTION: &str = include_str!("introspection.graphql");

#[test]
fn what_sane_clients_send_is_admitted() {
    for query in [
        INTROSPECTION,
        "{ __typename }",
        "query Live($first: Int = 20) @x { live: liveStreams(first: $first) { nodes { ...S } } } fragment S on Stream { id name channel { ... on Channel @include(if: true) { loc } } }",
        "subscription { streamEvents { cursor ... { at } ... @skip(if: false) { at } ... on StreamStopped { reason } } }",
        "mutation { createChannel(input: {name: \"a \\\" } {\", description: \"\"\"}}} \\\"\"\" {{{\"\"\", tags: [[1, -2.5e3]]}) { channel { id } } }",
        "\u{feff}# {{{{ \" \"\"\" comment\r{ a, b,, c }",
        "query A { a } query B { b } mutation C { c }",
    ] {
        assert_eq!(look(query), Ok(()), "{query}");
        assert!(query.contains("@x") || parse_query(query).is_ok(), "{query}");
    }
}

#[test]
fn each_bracket_may_nest_so_deep_and_no_deeper() {
    for (open, close) in
        [("{a", "}"), ("{a(x:[", "])}"), ("{...on T", "}"), ("{a(x:{x:", "})}"), ("{...", "}")]
    {
        let deep = format!("{}{{a}}{}", open.repeat(50_000 / open.len()), close.repeat(20));
        let refusal = look(&deep).expect_err("too deep");
        assert!(
            matches!(refusal, Refusal::TooDeep | Refusal::Unexpected { .. } | Refusal::Unbalanced),
            "{refusal}"
        );
    }
    let lists = |depth: usize| format!("{{a(x:{}{})}}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(look(&lists(MAX_NESTING - 2)), Ok(()));
    assert_eq!(look(&lists(MAX_NESTING - 1)), Err(Refusal::TooDeep));
    let types = format!("query($a: {}Int{}) {{ a }}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(look(&types), Err(Refusal::TooDeep));
    let chain = (0..60)
        .fold("{...F0}".to_owned(), |text, n| format!("{text} fragment F{n} on T {{a{{...F{}}}}}", n + 1));
    assert_eq!(look(&chain), Err(Refusal::TooDeep));
}

#[test]
fn fragments_that_double_with_each_step_are_refused() {
    let mut bomb = "{ ...F0 }".to_owned();
    for n in 0..20 {
        bomb += &format!(" fragment F{n} on Query {{ ...F{m} ...F{m} }}", m = n + 1);
    }
    bomb += " fragment F20 on Query { a }";
    assert!(matches!(look(&bomb), Err(Refusal::TooMany { most: 10_000, .. })));
    assert_eq!(look("{...A} fragment A on Q {...B} fragment B on Q { a {...A} }"), Err(Refusal::Cycle));
    assert_eq!(look("{...A} fragment A on Q {a} fragment A on Q {b}"), Err(Refusal::SameName));
}

#[test]
fn a_field_inside_many_inline_fragments_counts_once_for_each() {
    let query = format!("{{ {} {} {} }}", "...{".repeat(28), "a ".repeat(1_000), "}".repeat(28));
    assert!(matches!(look(&query), Err(Refusal::TooMany { most: 10_000, .. })));
}

#[test]
fn a_schema_asked_for_in_circles_is_refused() {
    let ask = |depth: usize| {
        format!(
            "{{ __schema {{ types {{ {} name {} }} }} }}",
            "fields { type {".repeat(depth),
            "} }".repeat(depth)
        )
    };
    assert_eq!(look(&ask(2)), Ok(()));
    assert!(matches!(look(&ask(5)), Err(Refusal::TooMany { most: 75_000, .. })));
    let hidden = "{ s: __schema { ...T } } fragment T on __Schema { a: types { ...F } }
        fragment F on __Type { b: fields { type { c: fields { type { d: fields { type { e: fields { name } } } } } } } }";
    assert!(matches!(look(hidden), Err(Refusal::TooMany { most: 75_000, .. })));
    // The parser takes this `on` for a fragment's name and what follows for a field.
    assert!(matches!(look("{ ... on #\n__schema { types { name } } }"), Err(Refusal::Unexpected { .. })));
    assert!(matches!(look("{ a } fragment on on Query { a }"), Err(Refusal::Unexpected { .. })));
}

#[test]
fn the_whole_schema_may_be_asked_for_once() {
    let body = &INTROSPECTION[INTROSPECTION.find('{').unwrap()..INTROSPECTION.find("fragment").unwrap()];
    let times = |times: usize| {
        let fields = body.trim().trim_start_matches('{').strip_suffix('}').unwrap();
        look(&INTROSPECTION.replace(body, &format!("{{ {} }}", fields.repeat(times))))
    };
    assert_eq!(times(1), Ok(()));
    assert!(times(2).is_err());
}

#[test]
fn large_values_are_not_used_over_and_over() {
    let uses = |times: usize| format!("query($v: [Int]) {{ {} }}", "a(x: $v) ".repeat(times));
    let values = || json!({"v": vec![1; 1_500]});
    assert_eq!(with_variables(&uses(1), values()), Ok(()));
    assert_eq!(with_variables(&uses(300), values()), Err(Refusal::ArgumentWork));
    let default = format!("query($v: [Int] = [{}]) {{ {} }}", "1 ".repeat(2_000), "a(x: $v) ".repeat(300));
    assert_eq!(look(&default), Err(Refusal::ArgumentWork));
    let text = "x".repeat(50_000);
    let literal = format!("{{ {} }} fragment F on Q {{ a(x: \"{text}\") }}", "...F ".repeat(500));
    assert_eq!(look(&literal), Err(Refusal::ArgumentWork));
}

#[test]
fn what_repeats_is_counted() {
    let refused = |query: String, most: usize| {
        let refusal = look(&query).expect_err("refused");
        assert!(matches!(refusal, Refusal::TooMany { most: it, .. } if it == most), "{refusal}");
    };
    let each = |times: usize, write: fn(usize) -> String| (0..times).map(write).collect::<String>();
    refused(format!("{{ {} }}", "a ".repeat(MAX_TOKENS)), MAX_TOKENS);
    refused(" ".repeat(MAX_BYTES + 1), MAX_BYTES);
    refused(format!("{{ {} }}", each(257, |n| format!("a{n}: a "))), MAX_ALIASES);
    refused(format!("{{ a {} }}", "@x ".repeat(257)), MAX_DIRECTIVES);
    refused(each(21, |n| format!("query Q{n} {{a}} ")), MAX_OPERATIONS);
    refused(each(101, |n| format!("fragment F{n} on Q {{a}} ")), MAX_FRAGMENTS);
    refused(format!("query({}) {{a}}", each(201, |n| format!("$v{n}: Int "))), MAX_VARIABLES);
    refused(format!("{{a({})}}", each(101, |n| format!("x{n}: 1 "))), MAX_ARGUMENTS);
    refused(format!("{{ {} }}", "a".repeat(129)), MAX_NAME);
    refused(format!("{{a(x: {})}}", "1".repeat(65)), MAX_NUMBER);
}

#[test]
fn json_is_bounded_as_the_document_is() {
    let nested = (0..20).fold(json!(1), |value, _| json!([value]));
    assert_eq!(
        with_variables("{a}", json!({"v": nested})),
        Err(Refusal::JsonTooMuch { most: 16, what: "levels" })
    );
    let long = with_variables("{a}", json!({"v": "x".repeat(70_000)}));
    assert_eq!(long, Err(Refusal::JsonTooMuch { most: 65_536, what: "bytes of text" }));
    let many = admit("{a}", &Map::new(), json!({"v": vec![1; 2_000]}).as_object().unwrap());
    assert_eq!(many, Err(Refusal::JsonTooMuch { most: 2_000, what: "values" }));
}

#[test]
fn what_is_not_closed_is_refused() {
    for query in [
        "{a",
        "{a}}",
        "{a(]}",
        "{a(x: \"b)}",
        "{a(x: \"\"\"b\")}",
        "{a(x: \"\\\n\")}",
        "{a(x:[)]}",
        "\"\"\"\\\"\"\"",
    ] {
        assert_eq!(look(query), Err(Refusal::Unbalanced), "{query}");
    }
    for query in ["{a ~}", "{é}", "queryA {a}", "(a)", "{a} b {c}", "{ {a} }", "{ ..a }"] {
        assert!(matches!(look(query), Err(Refusal::Unexpected { .. })), "{query}");
    }
}

#[test]
fn a_refusal_never_repeats_the_document() {
    let refusal = look("{ secret ~").expect_err("refused").to_string();
    assert_eq!(refusal, "The document has a syntax error at byte 9.");
}

/// What the parser's tree holds, to compare with the outline.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    selections: u64,
    spreads: usize,
    aliases: usize,
    depth: usize,
}

fn count(set: &SelectionSet, depth: usize, counts: &mut Counts) {
    for selection in &set.items {
        counts.selections += 1;
        counts.depth = counts.depth.max(depth);
        match &selection.node {
            Selection::Field(field) => {
                counts.aliases += usize::from(field.node.alias.is_some());
                count(&field.node.selection_set.node, depth + 1, counts);
            }
            Selection::FragmentSpread(_) => counts.spreads += 1,
            Selection::InlineFragment(inline) => count(&inline.node.selection_set.node, depth + 1, counts),
        }
    }
}

fn counts_of_tree(document: &ExecutableDocument) -> Counts {
    let mut counts = Counts::default();
    for (_, operation) in document.operations.iter() {
        count(&operation.node.selection_set.node, 1, &mut counts);
    }
    for fragment in document.fragments.values() {
        count(&fragment.node.selection_set.node, 1, &mut counts);
    }
    counts
}

fn counts_of_outline(query: &str) -> Counts {
    let (mut lexer, mut outline) = (Lexer::new(query), Outline::default());
    while let Some(token) = lexer.next_token().expect("admitted") {
        outline.take(token).expect("admitted");
    }
    let aliases = outline.aliases();
    let (definitions, _) = outline.finish().expect("admitted");
    Counts {
        selections: definitions.iter().map(|definition| definition.own.inside).sum(),
        spreads: definitions.iter().map(|definition| definition.spreads.len()).sum(),
        aliases,
        depth: definitions.iter().map(|definition| definition.own.depth).max().unwrap_or(0),
    }
}

/// Words that make up most of what the grammar knows, so that a random run of them is now and then a document.
fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "{",
        "}",
        "{a}",
        "{ a ",
        "}",
        "a",
        "b",
        "on",
        "on T",
        "...",
        "...F",
        "... on T {",
        "... {",
        "@x",
        "@x(a: 1)",
        ":",
        "a: b",
        "(a: $v)",
        "(a: {b: [1]})",
        "$",
        "\"s\"",
        "\"\"\"b\"\"\"",
        "1",
        "query",
        "query Q",
        "fragment F on T",
        "fragment",
        "($v: [Int!] = [1])",
        "#c\n",
        "#",
        "\n",
        "\"",
        "[",
        "]",
        "(",
        ")",
        "!",
        "&",
        "|",
        "=",
        "mutation",
    ]);
    prop::collection::vec((word, prop::sample::select(vec!["", " ", ","])), 0..24)
        .prop_map(|words| words.into_iter().map(|(word, gap)| format!("{word}{gap}")).collect())
}

/// A selection set in braces, always well formed.
fn selections() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "a ",
        "b: a ",
        "...F ",
        "a(x: {y: [$v \"}\"]}) ",
        "a @x(y: 1) ",
        "on ",
        "...on#\n ",
    ]);
    let leaf = prop::collection::vec(leaf, 1..4).prop_map(|parts| format!("{{ {}}}", parts.concat()));
    leaf.prop_recursive(5, 40, 4, |inner| {
        let head = prop::sample::select(vec![
            "a ",
            "b: a",
            "...",
            "... on T ",
            "...@x ",
            "... on\nT @x ",
            "a(x: 1)",
        ]);
        prop::collection::vec((head, inner), 1..4).prop_map(|parts| {
            format!("{{{}}}", parts.iter().map(|(h, s)| format!("{h}{s} ")).collect::<String>())
        })
    })
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(query in "\\PC{0,200}|[{}()\\[\\]:@$.\"\\\\#a1 \n]{0,300}") {
        let _ = look(&query);
    }

    #[test]
    fn it_counts_what_the_parser_sees(
        query in prop_oneof![words(), (selections(), selections()).prop_map(|(a, b)| format!("query ($v: T = {{a: 1}}) {a} fragment F on T @x {b}"))]
    ) {
        if let (Ok(()) | Err(Refusal::Cycle), Ok(document)) = (look(&query), parse_query(&query)) {
            prop_assert_eq!(counts_of_outline(&query), counts_of_tree(&document), "{}", query);
        }
    }
}
