//! What docs/permissions.md says, and the schema that it speaks of.

use std::collections::BTreeMap;

use async_graphql::parser::types::{BaseType, FieldDefinition, Type, TypeKind};

use crate::schema::definitions;

const DOCS: &str = include_str!("../../docs/permissions.md");
pub(crate) const ACTORS: [&str; 6] = ["anonymous", "viewer", "streamer", "owner", "moderator", "admin"];

/// The cells of all rows of the table that begins with this head.
fn rows(head: &str) -> Vec<Vec<String>> {
    let mut lines = DOCS.lines().skip_while(|line| !line.starts_with(&format!("| {head} |")));
    assert!(lines.next().is_some(), "a table of {head}");
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    lines.skip(1).take_while(|line| line.starts_with('|')).map(cells).collect()
}

/// What depends on who asks: an action, and what the docs say of each actor.
pub(crate) fn actions() -> Vec<(String, Vec<String>)> {
    let rows = rows(&format!("action | {}", ACTORS.join(" | ")));
    rows.into_iter().map(|mut cells| (cells.remove(0), cells)).collect()
}

/// What the docs say of a type.
pub(crate) struct Row {
    /// The actions that lead to it; none when everybody gets to it.
    pub(crate) through: Vec<String>,
    /// The fields that are the same for all who reach it.
    pub(crate) shared: Vec<String>,
    /// The fields with a row among the actions.
    pub(crate) apart: Vec<String>,
}

/// What the docs say of each type.
pub(crate) fn types() -> BTreeMap<String, Row> {
    let words = |cell: &String| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let row = |cells: Vec<String>| {
        let row = Row { through: words(&cells[1]), shared: words(&cells[2]), apart: words(&cells[3]) };
        assert!(!row.through.is_empty() || cells[1] == "anything", "{cells:?}");
        (words(&cells[0]).remove(0), row)
    };
    rows("type").into_iter().map(row).collect()
}

/// The name that the action of reading a field goes by.
pub(crate) fn action_of(of: &str, field: &str) -> String {
    match of {
        "Query" | "Mutation" | "Subscription" => field.to_owned(),
        _ => format!("{of}.{field}"),
    }
}

/// The fields of each type that has any, in the schema, with the types that they lead to.
pub(crate) fn schema() -> BTreeMap<String, Vec<(String, String)>> {
    let field = |field: &FieldDefinition| (field.name.node.to_string(), named(&field.ty.node));
    let fields = |kind: &TypeKind| match kind {
        TypeKind::Object(it) => Some(it.fields.iter().map(|it| field(&it.node)).collect()),
        TypeKind::Interface(it) => Some(it.fields.iter().map(|it| field(&it.node)).collect()),
        _ => None,
    };
    let all = definitions(&tally::graphql::sdl()).into_iter();
    all.filter_map(|it| Some((it.name.node.to_string(), fields(&it.kind)?))).collect()
}

fn named(ty: &Type) -> String {
    match &ty.base {
        BaseType::Named(name) => name.to_string(),
        BaseType::List(of) => named(of),
    }
}

/// A selection of all fields of a type that have no row of their own. Of the types behind them it selects all where
/// these are reached in no other way, else no more than that they are there.
pub(crate) fn selection(of: &str) -> String {
    let (schema, types) = (schema(), types());
    let select = |field: &String| {
        let found = schema[of].iter().find(|(name, _)| name == field);
        let (_, leads_to) = found.unwrap_or_else(|| panic!("there is no {of}.{field}"));
        match types.get(leads_to) {
            None => field.clone(),
            Some(row) if row.through.is_empty() => format!("{field} {{ __typename }}"),
            Some(_) => format!("{field} {{ {} }}", selection(leads_to)),
        }
    };
    types[of].shared.iter().map(select).collect::<Vec<_>>().join(" ")
}
