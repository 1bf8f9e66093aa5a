//! Looks a document over before the parser may see it, in one pass over its bytes.
//!
//! The parser and the validation rules recurse and multiply: brackets nested by the thousand exhaust the stack,
//! fragments that spread each other double the work with each step, and all of that happens before depth and
//! complexity are looked at. [`admit`] promises that what it lets through nests, expands and repeats within the
//! limits below, and that itself it takes time in proportion to the document and recurses no deeper than
//! [`MAX_FRAGMENTS`]. It decides nothing else: whether the document is well formed is the parser's business, so
//! what only the parser would refuse may pass.
//!
//! Called by `http` for every operation, over HTTP and over a WebSocket alike.

use std::collections::HashMap;

use serde_json::{Map, Value};

use self::cost::{Cost, Definition};
use self::lexer::Lexer;
use self::outline::Outline;

mod cost;
mod lexer;
mod outline;

/// The longest document. Hand-written ones stay below 4 KiB, generated ones seldom pass 20.
pub const MAX_BYTES: usize = 64 * 1024;
/// The most names, numbers, strings and punctuators. The whole introspection query has about 300; parsing costs
/// some microseconds each.
pub const MAX_TOKENS: usize = 5_000;
/// How deep brackets of all kinds may stand in each other, and how deep selections nest once fragments are
/// expanded. GraphiQL's introspection goes 15 deep.
pub const MAX_NESTING: usize = 32;
/// The longest name: error messages repeat names, and comparing them with the schema's costs their product.
pub const MAX_NAME: usize = 128;
/// The longest number: more digits than any number here has.
pub const MAX_NUMBER: usize = 64;
/// The most operations: several may share a document in an editor, only one of them runs.
pub const MAX_OPERATIONS: usize = 20;
/// The most fragments: a large generated document has some dozens.
pub const MAX_FRAGMENTS: usize = 100;
/// The most selections once all fragments are expanded, summed over all definitions, one inside inline fragments
/// counted once for each: the rules that compare fields walk them that often.
pub const MAX_EXPANSION: u64 = 10_000;
/// How large an answer about the schema may be, in fields, by the estimate in `cost`: one and a
/// quarter times the whole introspection query, which is the largest that a tool asks for.
pub const MAX_INTROSPECTION: u64 = 75_000;
/// The most aliases: enough for a page of a hundred things asked for one by one, twice.
pub const MAX_ALIASES: usize = 256;
/// The most directives: they are looked up one by one, wherever they stand.
pub const MAX_DIRECTIVES: usize = 256;
/// The most arguments between one pair of parentheses: fields are compared argument by argument.
pub const MAX_ARGUMENTS: usize = 100;
/// The most variables that the operations may declare together.
pub const MAX_VARIABLES: usize = 200;
/// How deep the JSON of variables and extensions may nest: input objects here nest 3 deep.
pub const MAX_JSON_NESTING: usize = 16;
/// The most values in the JSON of variables and extensions: ten times the longest list that a field takes.
pub const MAX_JSON_VALUES: usize = 2_000;
/// The most text, keys included, in the JSON of variables and extensions.
pub const MAX_JSON_BYTES: usize = 64 * 1024;
/// The most values given as arguments once fragments are expanded, each use of a variable counted with all that
/// the variables hold: each use checks and copies the value.
pub const MAX_ARGUMENT_WORK: u64 = 200_000;

/// Why a document is not looked at any further. It never repeats any of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Beyond a limit.
    #[error("The document has more than {most} {what}.")]
    TooMany {
        /// The limit.
        most: usize,
        /// What it counts.
        what: &'static str,
    },
    /// Brackets, selections or types nest too deep.
    #[error("The document nests deeper than {MAX_NESTING} levels.")]
    TooDeep,
    /// Fragments spread each other in a circle.
    #[error("The document has a fragment that contains itself.")]
    Cycle,
    /// Two fragments have one name.
    #[error("The document has two fragments of the same name.")]
    SameName,
    /// Something is not closed, or closed that was not open.
    #[error("The document has a bracket or a string that does not match.")]
    Unbalanced,
    /// A byte, or a word, that cannot stand where it stands.
    #[error("The document has a syntax error at byte {at}.")]
    Unexpected {
        /// Where.
        at: usize,
    },
    /// The variables or extensions are too much.
    #[error("The variables and extensions hold more than {most} {what}.")]
    JsonTooMuch {
        /// The limit.
        most: usize,
        /// What it counts.
        what: &'static str,
    },
    /// Arguments or variables are large and used often.
    #[error("The document uses large arguments too often.")]
    ArgumentWork,
}

/// Decides whether `query` may be given to the parser, with the variables and extensions that came with it.
///
/// # Errors
/// The first limit that does not hold.
pub fn admit(
    query: &str,
    variables: &Map<String, Value>,
    extensions: &Map<String, Value>,
) -> Result<(), Refusal> {
    document(query)?.admit(variables, extensions)
}

/// What was found in a document that may be given to the parser.
#[derive(Clone, Copy, Debug)]
pub struct Scanned {
    /// How many names, numbers, strings and punctuators it has.
    pub tokens: usize,
    cost: Cost,
    defaults: u64,
}

impl Scanned {
    /// Decides whether the document may be executed with these variables and extensions.
    ///
    /// # Errors
    /// The first limit that does not hold.
    pub fn admit(
        &self,
        variables: &Map<String, Value>,
        extensions: &Map<String, Value>,
    ) -> Result<(), Refusal> {
        let mut json = Json::default();
        json.weigh_members(variables, 1)?;
        let variables = weight_of(json.values, json.bytes);
        json.weigh_members(extensions, 1)?;
        let used = self.cost.uses.saturating_mul(variables.saturating_add(self.defaults));
        let work = self.cost.literals.saturating_add(used);
        if work > MAX_ARGUMENT_WORK { Err(Refusal::ArgumentWork) } else { Ok(()) }
    }
}

/// Decides whether a document may be given to the parser.
///
/// # Errors
/// The first limit that does not hold.
pub fn document(query: &str) -> Result<Scanned, Refusal> {
    if query.len() > MAX_BYTES {
        return Err(Refusal::TooMany { most: MAX_BYTES, what: "bytes" });
    }
    let mut lexer = Lexer::new(query);
    let mut outline = Outline::default();
    let mut tokens = 0;
    while let Some(token) = lexer.next_token()? {
        tokens += 1;
        at_most(tokens, MAX_TOKENS, "tokens")?;
        outline.take(token)?;
    }
    let (definitions, defaults) = outline.finish()?;
    let cost = expand(&definitions)?;
    if cost.plain > MAX_EXPANSION {
        return Err(Refusal::TooMany {
            most: MAX_EXPANSION as usize,
            what: "selections once fragments are expanded",
        });
    }
    if cost.introspection > MAX_INTROSPECTION {
        return Err(Refusal::TooMany {
            most: MAX_INTROSPECTION as usize,
            what: "fields of the schema to answer",
        });
    }
    Ok(Scanned { tokens, cost, defaults })
}

/// What checking and copying `values` with `bytes` of text costs, in values.
fn weight_of(values: usize, bytes: usize) -> u64 {
    (values + bytes / 64) as u64
}

fn at_most(count: usize, most: usize, what: &'static str) -> Result<(), Refusal> {
    if count > most { Err(Refusal::TooMany { most, what }) } else { Ok(()) }
}

/// The summed cost of all definitions, fragments counted both where they are spread and for themselves.
fn expand(definitions: &[Definition<'_>]) -> Result<Cost, Refusal> {
    let mut fragments = HashMap::new();
    for definition in definitions {
        if let Some(name) = definition.fragment
            && fragments.insert(name, definition).is_some()
        {
            return Err(Refusal::SameName);
        }
    }
    let mut known = HashMap::new();
    let mut sum = Cost::default();
    for definition in definitions {
        let cost = match definition.fragment {
            Some(name) => cost::of_fragment(name, &fragments, &mut known)?,
            None => definition.cost(&fragments, &mut known)?,
        };
        sum.plain = sum.plain.saturating_add(cost.plain);
        sum.literals = sum.literals.saturating_add(cost.literals);
        sum.uses = sum.uses.saturating_add(cost.uses);
        // Only operations are answered.
        if definition.fragment.is_none() {
            sum.introspection = sum.introspection.saturating_add(cost.introspection);
        }
    }
    Ok(sum)
}

/// What the variables and extensions hold so far.
#[derive(Default)]
struct Json {
    values: usize,
    bytes: usize,
}

impl Json {
    /// Recursion ends at [`MAX_JSON_NESTING`].
    fn weigh(&mut self, value: &Value, depth: usize) -> Result<(), Refusal> {
        self.values += 1;
        match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
            Value::String(text) => self.bytes += text.len(),
            Value::Array(items) => {
                Self::not_deeper(depth)?;
                items.iter().try_for_each(|item| self.weigh(item, depth + 1))?;
            }
            Value::Object(members) => self.weigh_members(members, depth)?,
        }
        self.check()
    }

    fn weigh_members(&mut self, members: &Map<String, Value>, depth: usize) -> Result<(), Refusal> {
        Self::not_deeper(depth)?;
        for (key, value) in members {
            self.bytes += key.len();
            self.weigh(value, depth + 1)?;
        }
        self.check()
    }

    fn not_deeper(depth: usize) -> Result<(), Refusal> {
        let most = MAX_JSON_NESTING;
        if depth > most { Err(Refusal::JsonTooMuch { most, what: "levels" }) } else { Ok(()) }
    }

    fn check(&self) -> Result<(), Refusal> {
        if self.values > MAX_JSON_VALUES {
            return Err(Refusal::JsonTooMuch { most: MAX_JSON_VALUES, what: "values" });
        }
        if self.bytes > MAX_JSON_BYTES {
            return Err(Refusal::JsonTooMuch { most: MAX_JSON_BYTES, what: "bytes of text" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
