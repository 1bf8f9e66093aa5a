//! Cuts a document into tokens, each byte looked at once.

use super::{MAX_NAME, MAX_NUMBER, Refusal, at_most};

/// One token. What numbers and strings say is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A name. `after_comment` when a comment stands between it and the token before: the parser takes an `on`
    /// that is followed by a comment for a name.
    Name { text: &'a str, at: usize, after_comment: bool },
    /// A number or a string of so many bytes.
    Value { bytes: usize },
    /// `...`
    Spread,
    /// One of `! $ & ( ) : = @ [ ] { | }`.
    Punctuator(u8, usize),
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn next_token(&mut self) -> Result<Option<Token<'a>>, Refusal> {
        let after_comment = self.skip_ignored();
        let at = self.at;
        let Some(&byte) = self.rest().first() else { return Ok(None) };
        let token = match byte {
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.skip_while(|byte| byte == b'_' || byte.is_ascii_alphanumeric());
                at_most(self.at - at, MAX_NAME, "bytes in a name")?;
                Token::Name { text: &self.text[at..self.at], at, after_comment }
            }
            b'-' | b'0'..=b'9' => {
                self.skip_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
                at_most(self.at - at, MAX_NUMBER, "digits in a number")?;
                Token::Value { bytes: self.at - at }
            }
            b'"' => {
                if self.rest().starts_with(b"\"\"\"") {
                    self.block_string()?
                } else {
                    self.string()?
                }
                Token::Value { bytes: self.at - at }
            }
            b'.' if self.rest().starts_with(b"...") => {
                self.at += 3;
                Token::Spread
            }
            b'!' | b'$' | b'&' | b'(' | b')' | b':' | b'=' | b'@' | b'[' | b']' | b'{' | b'|' | b'}' => {
                self.at += 1;
                Token::Punctuator(byte, at)
            }
            _ => return Err(Refusal::Unexpected { at }),
        };
        Ok(Some(token))
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = self.rest();
        self.at += rest.iter().position(|&byte| !wanted(byte)).unwrap_or(rest.len());
    }

    /// Passes white space and comments; true when there was a comment.
    fn skip_ignored(&mut self) -> bool {
        let mut comment = false;
        loop {
            self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b',' | b'\n' | b'\r'));
            if self.rest().starts_with(b"#") {
                comment = true;
                self.skip_while(|byte| !matches!(byte, b'\n' | b'\r'));
            } else if self.rest().starts_with("\u{feff}".as_bytes()) {
                self.at += "\u{feff}".len();
            } else {
                return comment;
            }
        }
    }

    fn string(&mut self) -> Result<(), Refusal> {
        self.at += 1;
        loop {
            self.skip_while(|byte| !matches!(byte, b'"' | b'\\' | b'\n' | b'\r'));
            match self.rest() {
                [b'"', ..] => {
                    self.at += 1;
                    return Ok(());
                }
                // The byte after a backslash cannot end the string; whether the pair means anything is for the
                // parser to say. Bytes of a longer character are passed by the next round.
                [b'\\', next, ..] if !matches!(next, b'\n' | b'\r') => self.at += 2,
                _ => return Err(Refusal::Unbalanced),
            }
        }
    }

    fn block_string(&mut self) -> Result<(), Refusal> {
        self.at += 3;
        loop {
            self.skip_while(|byte| !matches!(byte, b'"' | b'\\'));
            let rest = self.rest();
            if rest.is_empty() {
                return Err(Refusal::Unbalanced);
            } else if rest.starts_with(b"\"\"\"") {
                self.at += 3;
                return Ok(());
            }
            self.at += if rest.starts_with(b"\\\"\"\"") { 4 } else { 1 };
        }
    }
}
