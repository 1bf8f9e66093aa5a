//! The schema that clients write against: the file is what the code says, holds all of the contract, and explains
//! itself.

use std::collections::BTreeSet;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    FieldDefinition, InputValueDefinition, TypeDefinition, TypeKind, TypeSystemDefinition,
};

/// What was promised before there was any code. It only grows.
const CONTRACT: &str = include_str!("contract.graphql");

#[test]
fn the_schema_in_the_repository_is_the_one_in_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql");
    let written = std::fs::read_to_string(path).unwrap();
    assert!(
        written == tally::graphql::sdl(),
        "schema.graphql is stale; renew it: cargo run -- schema > schema.graphql"
    );
}

#[test]
fn the_schema_contains_all_of_the_contract() {
    let ours = promises(&tally::graphql::sdl());
    let missing: Vec<_> = promises(CONTRACT).into_iter().filter(|promise| !ours.contains(promise)).collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn what_was_added_to_the_contract_asks_nothing_of_older_clients() {
    let promised = promises(CONTRACT);
    let asks_more = |of: &str, inputs: &[async_graphql::Positioned<InputValueDefinition>]| -> Vec<String> {
        let required = inputs.iter().map(|input| &input.node).filter(|input| {
            !input.ty.node.nullable && input.default_value.is_none() && !promised.contains(&line(of, input))
        });
        required.map(|input| line(of, input)).collect()
    };
    let mut asked = Vec::new();
    for definition in definitions(&tally::graphql::sdl()) {
        let name = definition.name.node.as_str();
        let known = |what: &str| promised.contains(what);
        match &definition.kind {
            TypeKind::InputObject(input) if known(&format!("input {name}")) => {
                asked.extend(asks_more(name, &input.fields));
            }
            TypeKind::Object(object) => {
                for field in object.fields.iter().map(|field| &field.node) {
                    let path = format!("{name}.{}", field.name.node);
                    if known(&format!("{path}: {}", field.ty.node)) {
                        asked.extend(asks_more(&path, &field.arguments));
                    }
                }
            }
            _ => {}
        }
    }
    assert_eq!(asked, Vec::<String>::new());
}

#[test]
fn everything_in_the_schema_is_described_in_words_that_add_to_its_name() {
    let mut silent = Vec::new();
    let mut check = |path: String, name: &str, description: Option<&str>| {
        if !adds_to(name, description.unwrap_or_default()) {
            silent.push(format!("{path}: {description:?}"));
        }
    };
    for definition in definitions(&tally::graphql::sdl()) {
        let name = definition.name.node.as_str();
        check(name.to_owned(), name, described(&definition.description));
        let (fields, inputs) = match &definition.kind {
            TypeKind::Object(object) => (&object.fields[..], &[][..]),
            TypeKind::Interface(interface) => (&interface.fields[..], &[][..]),
            TypeKind::InputObject(input) => (&[][..], &input.fields[..]),
            TypeKind::Enum(values) => {
                for value in values.values.iter().map(|value| &value.node) {
                    let word = value.value.node.as_str();
                    check(format!("{name}.{word}"), word, described(&value.description));
                }
                continue;
            }
            TypeKind::Scalar | TypeKind::Union(_) => continue,
        };
        for FieldDefinition { name: field, arguments, description, .. } in fields.iter().map(|it| &it.node) {
            check(format!("{name}.{}", field.node), &field.node, described(description));
            for argument in arguments.iter().map(|argument| &argument.node) {
                let path = format!("{name}.{}({})", field.node, argument.name.node);
                check(path, &argument.name.node, described(&argument.description));
            }
        }
        for input in inputs.iter().map(|input| &input.node) {
            check(format!("{name}.{}", input.name.node), &input.name.node, described(&input.description));
        }
    }
    assert_eq!(silent, Vec::<String>::new());
}

fn described(description: &Option<async_graphql::Positioned<String>>) -> Option<&str> {
    description.as_ref().map(|text| text.node.as_str())
}

pub(crate) fn definitions(sdl: &str) -> Vec<TypeDefinition> {
    let parsed = parse_schema(sdl).unwrap_or_else(|error| panic!("{error}"));
    let types = parsed.definitions.into_iter().filter_map(|definition| match definition {
        TypeSystemDefinition::Type(definition) => Some(definition.node),
        TypeSystemDefinition::Schema(_) | TypeSystemDefinition::Directive(_) => None,
    });
    types.collect()
}

/// Everything that a client may rely on, one line each.
fn promises(sdl: &str) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for definition in definitions(sdl) {
        let name = definition.name.node.as_str();
        let mut fields = |fields: &[async_graphql::Positioned<FieldDefinition>]| {
            for field in fields.iter().map(|field| &field.node) {
                let path = format!("{name}.{}", field.name.node);
                lines.extend(field.arguments.iter().map(|argument| line(&path, &argument.node)));
                lines.insert(format!("{path}: {}", field.ty.node));
            }
        };
        match &definition.kind {
            TypeKind::Scalar => drop(lines.insert(format!("scalar {name}"))),
            TypeKind::Object(object) => {
                fields(&object.fields);
                lines.extend(object.implements.iter().map(|other| format!("{name} is a {}", other.node)));
                lines.insert(format!("type {name}"));
            }
            TypeKind::Interface(interface) => {
                fields(&interface.fields);
                lines.insert(format!("interface {name}"));
            }
            TypeKind::Union(union) => {
                lines.extend(union.members.iter().map(|member| format!("{name} may be {}", member.node)));
            }
            TypeKind::Enum(values) => {
                lines.extend(values.values.iter().map(|value| format!("{name}.{}", value.node.value.node)));
                lines.insert(format!("enum {name}"));
            }
            TypeKind::InputObject(input) => {
                lines.extend(input.fields.iter().map(|field| line(name, &field.node)));
                lines.insert(format!("input {name}"));
            }
        }
    }
    lines
}

/// An argument or an input field.
fn line(of: &str, input: &InputValueDefinition) -> String {
    format!("{of}({}: {})", input.name.node, input.ty.node)
}

/// Whether the description says a word that is neither in the name nor in every sentence.
fn adds_to(name: &str, description: &str) -> bool {
    const EMPTY: [&str; 12] = ["a", "an", "the", "of", "its", "this", "that", "is", "s", "to", "for", "and"];
    let mut said = BTreeSet::new();
    let mut word = String::new();
    for letter in name.chars() {
        if (letter.is_uppercase() && name.chars().any(char::is_lowercase)) || letter == '_' {
            said.insert(std::mem::take(&mut word));
        }
        if letter.is_alphanumeric() {
            word.extend(letter.to_lowercase());
        }
    }
    said.insert(word);
    let words = description.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).any(|word| !EMPTY.contains(&word.as_str()) && !said.contains(&word))
}

#[test]
fn a_description_that_only_repeats_the_name_is_found_out() {
    assert!(!adds_to("displayName", "The display name."));
    assert!(!adds_to("MOST_VIEWED", "Most viewed."));
    assert!(!adds_to("ID", "The id."));
    assert!(adds_to("displayName", "The name that others see."));
}
