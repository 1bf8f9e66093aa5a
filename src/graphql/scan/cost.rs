//! What a definition comes to once its fragments are expanded, each fragment worked out once.

use std::collections::HashMap;

use super::{MAX_NESTING, Refusal};

/// How deep `ofType` leads anywhere: to the type in a list of elements that are never null.
pub(super) const WRAPPERS: usize = 3;

/// How many elements a list of the introspection schema has, by the field's name: our schema's averages, rounded
/// up. Nested lists multiply, and the types that they lead to have such lists again, so a few lines can ask for
/// gigabytes.
pub(super) fn elements(field: &str) -> u64 {
    match field {
        "types" => 100,
        "fields" => 10,
        "directives" => 8,
        "inputFields" | "enumValues" | "possibleTypes" => 4,
        _ => 1,
    }
}

/// An operation or a fragment: what it holds itself, and what it spreads.
#[derive(Default)]
pub(super) struct Definition<'a> {
    /// The fragment's name; none for an operation.
    pub(super) fragment: Option<&'a str>,
    pub(super) own: Cost,
    pub(super) spreads: Vec<Spread<'a>>,
}

/// Selections counted in three ways, what their arguments hold, and how deep they nest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    /// Each selection, as often as the rules walk it.
    pub(super) plain: u64,
    /// The answer's fields below `__schema` and `__type`.
    pub(super) introspection: u64,
    /// The answer's fields if all of the definition stands below `__schema` or `__type`.
    pub(super) inside: u64,
    /// The weight of all arguments, as written.
    pub(super) literals: u64,
    /// How often variables are used.
    pub(super) uses: u64,
    pub(super) depth: usize,
}

/// One `...name`.
pub(super) struct Spread<'a> {
    pub(super) name: &'a str,
    /// How often the rules walk it.
    pub(super) walks: u64,
    /// How often its fields are answered when this place is below `__schema` or `__type` of the same definition.
    pub(super) introspection: Option<u64>,
    /// The same, if all of the definition stands there.
    pub(super) inside: u64,
    pub(super) depth: usize,
}

type Fragments<'f, 'a> = HashMap<&'a str, &'f Definition<'a>>;

/// The costs worked out so far; `None` while a fragment is being worked out.
pub(super) type Known<'a> = HashMap<&'a str, Option<Cost>>;

/// Recursion is as deep as the longest chain of fragments, of which there are at most `MAX_FRAGMENTS`.
pub(super) fn of_fragment<'a>(
    name: &'a str,
    fragments: &Fragments<'_, 'a>,
    known: &mut Known<'a>,
) -> Result<Cost, Refusal> {
    match known.get(name) {
        Some(Some(cost)) => return Ok(*cost),
        Some(None) => return Err(Refusal::Cycle),
        None => {}
    }
    // That a fragment does not exist is for validation to say; nothing expands.
    let Some(definition) = fragments.get(name) else { return Ok(Cost::default()) };
    known.insert(name, None);
    let cost = definition.cost(fragments, known)?;
    known.insert(name, Some(cost));
    Ok(cost)
}

impl<'a> Definition<'a> {
    pub(super) fn cost(&self, fragments: &Fragments<'_, 'a>, known: &mut Known<'a>) -> Result<Cost, Refusal> {
        let mut sum = self.own;
        for spread in &self.spreads {
            let cost = of_fragment(spread.name, fragments, known)?;
            let add = |sum: u64, times: u64, cost: u64| sum.saturating_add(times.saturating_mul(cost));
            sum.plain = add(sum.plain, spread.walks, cost.plain);
            sum.introspection = match spread.introspection {
                Some(times) => add(sum.introspection, times, cost.inside),
                None => add(sum.introspection, 1, cost.introspection),
            };
            sum.inside = add(sum.inside, spread.inside, cost.inside);
            sum.literals = add(sum.literals, 1, cost.literals);
            sum.uses = add(sum.uses, 1, cost.uses);
            sum.depth = sum.depth.max(spread.depth + cost.depth);
        }
        if sum.depth > MAX_NESTING { Err(Refusal::TooDeep) } else { Ok(sum) }
    }
}
