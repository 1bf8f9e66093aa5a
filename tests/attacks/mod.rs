//! Documents as large as the scan lets through, each built to cost as much as it can, for whatever schema.

use serde_json::{Value, json};

/// One document.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) query: String,
    pub(crate) variables: Value,
}

/// What a schema has at its root, so that the documents mean something to it.
pub(crate) struct Root {
    /// A field without arguments or selections.
    pub(crate) plain: &'static str,
    /// Another one, with what must be selected of it.
    pub(crate) other: &'static str,
    /// A field with what must be selected of it, of which that is an argument where a text belongs.
    pub(crate) taking: fn(&str) -> String,
    /// The same, with these arguments, none of which it knows.
    pub(crate) given: fn(&str) -> String,
}

fn attack(name: &'static str, query: String) -> Attack {
    Attack { name, query, variables: json!({}) }
}

fn each(times: usize, write: impl Fn(usize) -> String) -> String {
    (0..times).map(write).collect()
}

/// Near the limits from beneath, so that most of these are admitted; what is refused costs next to nothing.
pub(crate) fn attacks(root: &Root) -> Vec<Attack> {
    [selections(root), texts_and_values(root), repetitions(root), schemas(root)]
        .into_iter()
        .flatten()
        .collect()
}

/// For the real schema alone: each small by the rules that look at the text, and far more work than the limit on cost admits.
/// Those that ask by ids ask by these.
pub(crate) fn hidden(ids: &[String]) -> Vec<Attack> {
    let often = |field: &str, times: usize| format!("{field} ").repeat(times);
    let lists = (0..4).fold("id".to_owned(), |inside, _| {
        format!("pastStreams(first: 100) {{ nodes {{ channel {{ {inside} }} }} }}")
    });
    let of_query = |times: usize, fields: String| {
        format!("{} }} fragment F on Query {{ {fields} }}", often("...F", times))
    };
    let by_ids = |name, query| Attack { name, query, variables: json!({"ids": ids}) };
    vec![
        Attack {
            name: "lists in a fragment on any type",
            query: format!(
                "query ($id: ID!) {{ node(id: $id) {{ ...F }} }} fragment F on Channel {{ {lists} }}"
            ),
            variables: json!({"id": ids[0]}),
        },
        by_ids(
            "lists in a fragment on many of any type",
            format!(
                "query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ ...F }} }} fragment F on Channel {{ {lists} }}"
            ),
        ),
        by_ids(
            "ids by the thousand",
            format!("query ($ids: [ID!]!) {{ {}", of_query(9, often("nodes(ids: $ids) { __typename }", 100))),
        ),
        attack(
            "users by the thousand",
            format!("{{ {}", of_query(30, often("user(handle: \"owner\") { __typename }", 100))),
        ),
        attack("topics by the thousand", format!("{{ {}", of_query(20, often("topics { name }", 100)))),
        attack(
            "names of types by the thousand, in lists in lists",
            format!(
                "{{ channels {{ nodes {{ pastStreams {{ nodes {{ {} }} }} }} }} }} fragment F on Stream {{ {} }}",
                often("...F", 90),
                often("__typename", 90)
            ),
        ),
    ]
}

fn selections(&Root { plain, other, given, .. }: &Root) -> Vec<Attack> {
    let selected = format!("{plain} ").repeat(60);
    vec![
        attack("many fields", format!("{{ {} }}", format!("{plain} ").repeat(4_900))),
        attack("many unknown fields", format!("{{ {} }}", each(4_900, |n| format!("a{n} ")))),
        attack(
            "many conflicts",
            format!("{{ {} {} }}", format!("b: {plain} ").repeat(120), format!("b: {other} ").repeat(120)),
        ),
        attack(
            "conflicting arguments",
            format!("{{ {} }}", each(20, |n| format!("b: {} ", given(&each(75, |m| format!("x{m}: {n} ")))))),
        ),
        attack(
            "inline fragments",
            format!("{{ {}{}{} }}", "...{".repeat(28), format!("{plain} ").repeat(300), "}".repeat(28)),
        ),
        attack("inline fragments side by side", format!("{{ {} }}", format!("...{{{plain}}}").repeat(1_200))),
        attack(
            "fragments in a chain",
            format!(
                "{{...F0}} {}",
                each(28, |n| { format!("fragment F{n} on Query {{ {selected} ...F{} }} ", n + 1) })
                    + &format!("fragment F28 on Query {{ {plain} }}")
            ),
        ),
        attack(
            "a fragment spread often",
            format!(
                "{{ {} }} fragment F on Query {{ {} }}",
                "...F ".repeat(90),
                format!("{plain} ").repeat(90)
            ),
        ),
        attack("long names", format!("{{ {} }}", format!("{} ", "n".repeat(128)).repeat(500))),
        attack(
            "unknown arguments",
            format!("{{ {} }}", each(18, |_| format!("{plain}({}) ", each(90, |n| format!("x{n}:1 "))))),
        ),
    ]
}

fn texts_and_values(&Root { plain, taking, .. }: &Root) -> Vec<Attack> {
    let given = |value: String| format!("{{ {} }}", taking(&value));
    vec![
        attack("a long string", given(format!("\"{}\"", "x".repeat(60_000)))),
        attack("a long block string", given(format!("\"\"\"{}\"\"\"", "\n x".repeat(20_000)))),
        attack("escaped quotes", given(format!("\"\"\"{}\"\"\"", "\\\"\"\"".repeat(15_000)))),
        attack("many block strings", given(format!("[{}]", "\"\"\"\"\"\" ".repeat(4_900)))),
        attack("a long comment", format!("#{}\n{{{plain}}}", "x".repeat(65_000))),
        attack("many comments", format!("{}{{{plain}}}", "#\n".repeat(32_000))),
        attack("nothing but commas", format!("{{{plain}{}}}", ",".repeat(65_000))),
        attack("values in lists", given(format!("{}1{} ", "[".repeat(25), "]".repeat(25)).repeat(90))),
        attack("objects in objects", given(format!("{}1{}", "{a:".repeat(29), "}".repeat(29)))),
    ]
}

fn repetitions(&Root { plain, taking, .. }: &Root) -> Vec<Attack> {
    vec![
        attack(
            "many operations",
            each(20, |n| format!("query Q{n} {{ {} }} ", format!("{plain} ").repeat(230))),
        ),
        attack(
            "variables declared and not used",
            format!("query({}) {{ {plain} }}", each(200, |n| format!("$v{n}: String "))),
        ),
        attack(
            "one variable used often",
            format!(
                "query($t: String = \"{}\") {{ {} }}",
                "x".repeat(1_000),
                format!("{} ", taking("$t")).repeat(690)
            ),
        ),
        attack("directives", format!("{{ {plain} {} }}", "@include(if: true) ".repeat(256))),
        attack("aliases", format!("{{ {} }}", each(256, |n| format!("a{n}: {plain} ")))),
    ]
}

fn schemas(&Root { plain, taking, .. }: &Root) -> Vec<Attack> {
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
        attack("a syntax error at the end", format!("{{ {} ! }}", format!("{plain} ").repeat(4_900))),
        Attack {
            name: "large variables",
            query: format!("query($v: [String]) {{ {} }}", format!("{} ", taking("$v")).repeat(95)),
            variables: json!({"v": vec!["x"; 1_990]}),
        },
    ]
}
