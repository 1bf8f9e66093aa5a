//! Follows the tokens through a document and keeps its outline: which definitions there are, what each selects
//! and spreads, and how deep. The brackets that stand open are a stack of bounded height, so nothing recurses.

use super::cost::{Definition, Spread, WRAPPERS, elements};
use super::lexer::Token;
use super::{
    MAX_ALIASES, MAX_ARGUMENTS, MAX_DIRECTIVES, MAX_FRAGMENTS, MAX_NESTING, MAX_OPERATIONS, MAX_VARIABLES,
    Refusal, at_most, weight_of,
};

/// What has been understood so far.
#[derive(Default)]
pub(super) struct Outline<'a> {
    definitions: Vec<Definition<'a>>,
    open: Vec<Bracket<'a>>,
    expect: Expect,
    fragments: usize,
    aliases: usize,
    directives: usize,
    declared: usize,
    defaults: u64,
}

/// What a name, when one comes next, will be.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Expect {
    /// At the top: a keyword. In a selection set: a field or its alias. Elsewhere: of no interest.
    #[default]
    Selection,
    /// Between a keyword and the selection set: the operation's name, a fragment's type.
    Header,
    FragmentName,
    /// After `...`
    SpreadOrOn,
    /// After `... on`
    Type,
    /// After `@` or `$`
    Other,
}

enum Bracket<'a> {
    Selections(Selections<'a>),
    /// `(`, with the colons counted that stand directly in it, each an argument or a declared variable.
    Parenthesis {
        colons: usize,
    },
    /// `[`, or the `{` of an object.
    Value(u8),
}

/// A selection set that is open.
#[derive(Clone, Copy)]
struct Selections<'a> {
    /// How often what stands here is walked: one more for each inline fragment around it, up to the next field.
    walks: u64,
    /// Answers per field here, when below `__schema` or `__type`; see [`Spread`].
    introspection: Option<u64>,
    inside: u64,
    depth: usize,
    /// How many `ofType` stand directly around.
    wrappers: usize,
    /// The selection last seen, whose braces or colon may follow.
    last: Option<Last<'a>>,
}

#[derive(Clone, Copy)]
enum Last<'a> {
    /// Its name, or for now its alias.
    Field(&'a str),
    AliasOf,
    Inline,
    Spread,
}

impl<'a> Outline<'a> {
    pub(super) fn take(&mut self, token: Token<'a>) -> Result<(), Refusal> {
        // Without a type the parser would take the `on` for the name of a fragment, which is nobody's.
        if self.expect == Expect::Type && !matches!(token, Token::Name { .. }) {
            return Err(Refusal::Unbalanced);
        }
        self.weigh(token);
        match token {
            Token::Value { .. } => Ok(()),
            Token::Spread => {
                self.expect = Expect::SpreadOrOn;
                self.select(Last::Inline);
                Ok(())
            }
            Token::Name { text, at, after_comment } => self.name(text, at, after_comment),
            Token::Punctuator(byte, at) => self.punctuator(byte, at),
        }
    }

    /// The definitions, and the weight of what stands between the parentheses of operations: default values,
    /// which are copied wherever their variable is used.
    pub(super) fn finish(self) -> Result<(Vec<Definition<'a>>, u64), Refusal> {
        if self.open.is_empty() { Ok((self.definitions, self.defaults)) } else { Err(Refusal::Unbalanced) }
    }

    #[cfg(test)]
    pub(super) fn aliases(&self) -> usize {
        self.aliases
    }

    /// Adds up what arguments hold, where they are given and where they are declared.
    fn weigh(&mut self, token: Token<'a>) {
        let weight = match token {
            Token::Value { bytes } => weight_of(1, bytes),
            _ => 1,
        };
        match (self.open.first(), self.open.last(), self.definitions.last_mut()) {
            (Some(Bracket::Parenthesis { .. }), ..) => self.defaults += weight,
            (_, Some(Bracket::Parenthesis { .. } | Bracket::Value(_)), Some(definition)) => {
                definition.own.literals += weight;
                if matches!(token, Token::Punctuator(b'$', _)) {
                    definition.own.uses += 1;
                }
            }
            _ => {}
        }
    }

    fn name(&mut self, text: &'a str, at: usize, after_comment: bool) -> Result<(), Refusal> {
        let expect = std::mem::take(&mut self.expect);
        match (self.open.last_mut(), expect) {
            (_, Expect::Other) | (Some(Bracket::Parenthesis { .. } | Bracket::Value(_)), _) => {
                // Back in a header, a directive's name must not be followed by a keyword.
                if self.open.is_empty() {
                    self.expect = Expect::Header;
                }
                Ok(())
            }
            (None, Expect::FragmentName) if text == "on" => Err(Refusal::Unexpected { at }),
            (None, Expect::FragmentName) => {
                self.expect = Expect::Header;
                if let Some(definition) = self.definitions.last_mut() {
                    definition.fragment = Some(text);
                }
                Ok(())
            }
            (None, Expect::Selection) => self.keyword(text, at),
            (None, _) => {
                self.expect = Expect::Header;
                Ok(())
            }
            (Some(Bracket::Selections(_)), Expect::SpreadOrOn) if text == "on" => {
                self.expect = Expect::Type;
                Ok(())
            }
            // The parser would take the `on` for a fragment's name and this for a field.
            (Some(Bracket::Selections(_)), Expect::Type) if after_comment => Err(Refusal::Unexpected { at }),
            (Some(Bracket::Selections(_)), Expect::Type) => Ok(()),
            (Some(Bracket::Selections(_)), Expect::SpreadOrOn) => {
                self.spread(text);
                Ok(())
            }
            (Some(Bracket::Selections(_)), _) => {
                self.select(Last::Field(text));
                Ok(())
            }
        }
    }

    /// Only whole keywords begin a definition; the parser would also take `queryName` apart.
    fn keyword(&mut self, text: &str, at: usize) -> Result<(), Refusal> {
        match text {
            "query" | "mutation" | "subscription" => {
                self.expect = Expect::Header;
                self.begin_operation()
            }
            "fragment" => {
                self.expect = Expect::FragmentName;
                self.fragments += 1;
                self.definitions.push(Definition::default());
                at_most(self.fragments, MAX_FRAGMENTS, "fragments")
            }
            _ => Err(Refusal::Unexpected { at }),
        }
    }

    fn begin_operation(&mut self) -> Result<(), Refusal> {
        self.definitions.push(Definition::default());
        at_most(self.definitions.len() - self.fragments, MAX_OPERATIONS, "operations")
    }

    fn punctuator(&mut self, byte: u8, at: usize) -> Result<(), Refusal> {
        match byte {
            b'{' | b'(' | b'[' => self.open(byte, at),
            b'}' | b')' | b']' => self.close(byte),
            b':' => self.colon(),
            b'@' => {
                self.expect = Expect::Other;
                self.directives += 1;
                at_most(self.directives, MAX_DIRECTIVES, "directives")
            }
            b'$' => {
                self.expect = Expect::Other;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn colon(&mut self) -> Result<(), Refusal> {
        let header = self.open.len() == 1;
        match self.open.last_mut() {
            Some(Bracket::Selections(set)) => {
                if let Some(Last::Field(_)) = set.last {
                    // What was counted as a field was its alias; the field comes next.
                    set.last = Some(Last::AliasOf);
                    self.aliases += 1;
                }
                at_most(self.aliases, MAX_ALIASES, "aliases")
            }
            Some(Bracket::Parenthesis { colons }) => {
                *colons += 1;
                if header {
                    // Arguments of an operation's own directives are counted as well, which does no harm.
                    self.declared += 1;
                    at_most(self.declared, MAX_VARIABLES, "variables")
                } else {
                    at_most(*colons, MAX_ARGUMENTS, "arguments in one place")
                }
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, byte: u8, at: usize) -> Result<(), Refusal> {
        if self.open.len() == MAX_NESTING {
            return Err(Refusal::TooDeep);
        }
        let bracket = match (byte, self.open.last()) {
            (b'(', None) if self.expect == Expect::Selection => return Err(Refusal::Unexpected { at }),
            (b'(', _) => Bracket::Parenthesis { colons: 0 },
            (b'{', None) => {
                if self.expect == Expect::Selection {
                    self.begin_operation()?;
                }
                let (walks, introspection, inside, depth, wrappers) = (1, None, 1, 1, 0);
                Bracket::Selections(Selections { walks, introspection, inside, depth, wrappers, last: None })
            }
            (b'{', Some(Bracket::Selections(_))) => self.below(at)?,
            _ => Bracket::Value(byte),
        };
        self.expect = Expect::Selection;
        self.open.push(bracket);
        Ok(())
    }

    /// The selection set of the field or inline fragment seen last.
    fn below(&mut self, at: usize) -> Result<Bracket<'a>, Refusal> {
        let Some(Bracket::Selections(set)) = self.open.last() else { return Err(Refusal::Unexpected { at }) };
        let mut below = Selections { last: None, depth: set.depth + 1, ..*set };
        match set.last {
            Some(Last::Inline) => below.walks = set.walks + 1,
            Some(Last::Field(name)) => {
                below.walks = 1;
                below.wrappers = if name == "ofType" { set.wrappers + 1 } else { 0 };
                let times = if below.wrappers > WRAPPERS { 0 } else { elements(name) };
                below.inside = set.inside.saturating_mul(times);
                below.introspection = match set.introspection {
                    Some(answers) => Some(answers.saturating_mul(times)),
                    None => matches!(name, "__schema" | "__type").then_some(1),
                };
            }
            Some(Last::AliasOf | Last::Spread) | None => return Err(Refusal::Unexpected { at }),
        }
        Ok(Bracket::Selections(below))
    }

    fn close(&mut self, byte: u8) -> Result<(), Refusal> {
        self.expect = if self.open.len() == 1 && byte != b'}' { Expect::Header } else { Expect::Selection };
        match (self.open.pop(), byte) {
            (Some(Bracket::Selections(_)), b'}')
            | (Some(Bracket::Parenthesis { .. }), b')')
            | (Some(Bracket::Value(b'{')), b'}')
            | (Some(Bracket::Value(b'[')), b']') => Ok(()),
            _ => Err(Refusal::Unbalanced),
        }
    }

    /// Counts a selection of the set that is open. The name after an alias stands for the field already counted.
    fn select(&mut self, selected: Last<'a>) {
        let (Some(Bracket::Selections(set)), Some(definition)) =
            (self.open.last_mut(), self.definitions.last_mut())
        else {
            return;
        };
        let counted = matches!(set.last, Some(Last::AliasOf));
        set.last = Some(selected);
        if counted {
            return;
        }
        let own = &mut definition.own;
        own.plain = own.plain.saturating_add(set.walks);
        own.introspection = own.introspection.saturating_add(set.introspection.unwrap_or(0));
        own.inside = own.inside.saturating_add(set.inside);
        own.depth = own.depth.max(set.depth);
    }

    /// What was counted as an inline fragment is the spread of a named one.
    fn spread(&mut self, name: &'a str) {
        let (Some(Bracket::Selections(set)), Some(definition)) =
            (self.open.last_mut(), self.definitions.last_mut())
        else {
            return;
        };
        set.last = Some(Last::Spread);
        let Selections { walks, introspection, inside, depth, .. } = *set;
        definition.spreads.push(Spread { name, walks, introspection, inside, depth });
    }
}
