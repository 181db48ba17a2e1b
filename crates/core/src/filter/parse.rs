//! Parses filters: a lexer, and a recursive descent that checks its depth before it descends.

use super::{Comparison, Filter, Literal, ParsedFilter};
use crate::error::{FilterError, excerpt};
use crate::json::{is_number, quoted_length};
use crate::path::{AttrPath, is_path_char};

/// Bytes of a filter.
pub const MAX_BYTES: usize = 8 * 1024;
/// Levels of nested parentheses and brackets.
pub const MAX_DEPTH: usize = 32;
/// Comparisons in a filter.
pub const MAX_TERMS: usize = 256;

/// Which spellings outside the grammar are accepted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Syntax {
    /// `userName eq bob`: a bare word up to the next space or bracket is a text.
    pub bare_words: bool,
    /// `emails[type eq "work"].value eq "x"`, and `True` in any case even without `bare_words`.
    pub loose_forms: bool,
}

/// What a parse accepted beyond the grammar, and what it cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Notes {
    /// Whether a loose form was accepted.
    pub loose_form: bool,
    /// Tokens taken; at most one per byte of the text.
    pub steps: usize,
    /// The deepest nesting entered.
    pub deepest: usize,
}

impl ParsedFilter {
    /// Reads a filter by the RFC's grammar with its verified errata.
    ///
    /// # Errors
    ///
    /// [`FilterError`] with the position of the first token that is not expected.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Self::parse_with(text, Syntax::default()).map(|(filter, _)| filter)
    }

    /// Reads a filter with some spellings outside the grammar, and returns which it accepted.
    ///
    /// # Errors
    ///
    /// As [`ParsedFilter::parse`].
    pub fn parse_with(text: &str, syntax: Syntax) -> Result<(Self, Notes), FilterError> {
        if text.len() > MAX_BYTES {
            return Err(FilterError {
                reason: format!("the filter is longer than {MAX_BYTES} bytes"),
                at: None,
            });
        }
        let mut parser =
            Parser { text, at: 0, depth: 0, terms: 0, syntax, notes: Notes::default() };
        if matches!(parser.peek()?.token, Token::End) {
            return Err(parser.error(0, "the filter is empty; leave it out to get everything"));
        }
        let filter = parser.any()?;
        match parser.next()? {
            Lexed { token: Token::End, .. } => Ok((filter, parser.notes)),
            Lexed { token: Token::Close, start } => {
                Err(parser.error(start, "a \")\" without its \"(\""))
            }
            Lexed { start, .. } => {
                Err(parser.error(start, "expected \"and\", \"or\" or the end of the filter"))
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token<'t> {
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    /// A run of characters without space, bracket or quote.
    Word(&'t str),
    Text(String),
    End,
}

#[derive(Debug, Clone, PartialEq)]
struct Lexed<'t> {
    token: Token<'t>,
    start: usize,
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    terms: usize,
    syntax: Syntax,
    notes: Notes,
}

impl<'t> Parser<'t> {
    fn error(&self, at: usize, reason: impl Into<String>) -> FilterError {
        let characters = self.text.get(..at).map_or(at, |before| before.chars().count());
        FilterError {
            reason: format!("the filter is not valid: {}", reason.into()),
            at: Some(characters),
        }
    }

    fn next(&mut self) -> Result<Lexed<'t>, FilterError> {
        self.notes.steps += 1;
        let rest = self.text.get(self.at..).unwrap_or_default();
        let trimmed = rest.trim_start_matches([' ', '\t']);
        let start = self.at + (rest.len() - trimmed.len());
        let Some(first) = trimmed.chars().next() else {
            self.at = self.text.len();
            return Ok(Lexed { token: Token::End, start });
        };
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '[' => (Token::OpenBracket, 1),
            ']' => (Token::CloseBracket, 1),
            '"' => {
                let length = quoted_length(trimmed)
                    .ok_or_else(|| self.error(start, "a text without its closing quote"))?;
                let quoted = trimmed.get(..length).unwrap_or_default();
                let text: String = serde_json::from_str(quoted).map_err(|_bad| {
                    self.error(start, "a text is written like a JSON string, with \\\" for a quote")
                })?;
                if text.contains('\0') {
                    return Err(self.error(start, "a text contains the character U+0000"));
                }
                (Token::Text(text), length)
            }
            _ => {
                // Bytes: all that ends a word is ASCII.
                let ends = |byte| matches!(byte, b' ' | b'\t' | b'(' | b')' | b'[' | b']' | b'"');
                let end = trimmed.bytes().position(ends).unwrap_or(trimmed.len());
                (Token::Word(trimmed.get(..end).unwrap_or_default()), end)
            }
        };
        self.at = start + length;
        Ok(Lexed { token, start })
    }

    fn peek(&mut self) -> Result<Lexed<'t>, FilterError> {
        let (at, steps) = (self.at, self.notes.steps);
        let lexed = self.next();
        self.at = at;
        self.notes.steps = steps;
        lexed
    }

    fn keyword(&mut self, keyword: &str) -> Result<bool, FilterError> {
        let found =
            matches!(self.peek()?.token, Token::Word(word) if word.eq_ignore_ascii_case(keyword));
        if found {
            self.next()?;
        }
        Ok(found)
    }

    /// Enters one level, or refuses before the stack grows.
    fn enter(&mut self, at: usize) -> Result<(), FilterError> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error(at, format!("parentheses nest deeper than {MAX_DEPTH} levels")));
        }
        self.depth += 1;
        self.notes.deepest = self.notes.deepest.max(self.depth);
        Ok(())
    }

    fn any(&mut self) -> Result<ParsedFilter, FilterError> {
        let mut terms = vec![self.all()?];
        while self.keyword("or")? {
            terms.push(self.all()?);
        }
        Ok(one_or(terms, Filter::Or))
    }

    fn all(&mut self) -> Result<ParsedFilter, FilterError> {
        let mut terms = vec![self.term()?];
        while self.keyword("and")? {
            terms.push(self.term()?);
        }
        Ok(one_or(terms, Filter::And))
    }

    fn term(&mut self) -> Result<ParsedFilter, FilterError> {
        let Lexed { token, start } = self.next()?;
        match token {
            Token::Open => self.group(start),
            Token::Word(word) if word.eq_ignore_ascii_case("not") => {
                // Erratum 7319: a space may be between "not" and its parenthesis.
                match self.next()? {
                    Lexed { token: Token::Open, start } => {
                        Ok(Filter::Not(Box::new(self.group(start)?)))
                    }
                    Lexed { start, .. } => {
                        Err(self.error(start, "\"not\" needs parentheses, as in not (title pr)"))
                    }
                }
            }
            Token::Word(word) => self.attribute(word, start),
            Token::End => Err(self.error(start, "the filter ends where an attribute was expected")),
            Token::Close | Token::OpenBracket | Token::CloseBracket | Token::Text(_) => {
                Err(self.error(start, "expected an attribute, \"not\" or \"(\""))
            }
        }
    }

    fn group(&mut self, start: usize) -> Result<ParsedFilter, FilterError> {
        self.enter(start)?;
        let inner = self.any()?;
        self.depth -= 1;
        match self.next()? {
            Lexed { token: Token::Close, .. } => Ok(inner),
            Lexed { start, .. } => Err(self.error(start, "expected \"and\", \"or\" or \")\"")),
        }
    }

    fn attribute(&mut self, word: &'t str, start: usize) -> Result<ParsedFilter, FilterError> {
        if !word.chars().all(is_path_char)
            || !word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$')
        {
            return Err(self.error(start, format!("\"{}\" is not an attribute", excerpt(word))));
        }
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(self.error(start, format!("more than {MAX_TERMS} comparisons")));
        }
        let path = AttrPath::from_word(word);
        let Lexed { token, start } = self.next()?;
        match token {
            Token::OpenBracket => self.element(path, start),
            Token::Word(operator) if operator.eq_ignore_ascii_case("pr") => {
                Ok(Filter::Present(path))
            }
            Token::Word(operator) => {
                let comparison = self.comparison(operator, start)?;
                Ok(Filter::Compare(path, comparison, self.literal()?))
            }
            Token::End => Err(self.error(
                start,
                format!(
                    "the filter ends after \"{}\"; an operator such as eq is missing",
                    excerpt(word)
                ),
            )),
            Token::Open | Token::Close | Token::CloseBracket | Token::Text(_) => {
                Err(self.error(start, "expected an operator such as eq"))
            }
        }
    }

    fn comparison(&self, operator: &str, start: usize) -> Result<Comparison, FilterError> {
        let known = Comparison::ALL.iter().find(|(name, _)| operator.eq_ignore_ascii_case(name));
        known.map(|(_, comparison)| *comparison).ok_or_else(|| {
            let reason = format!(
                "\"{}\" is not an operator; use one of eq, ne, co, sw, ew, gt, ge, lt, le and pr",
                excerpt(operator)
            );
            self.error(start, reason)
        })
    }

    fn element(&mut self, path: AttrPath, start: usize) -> Result<ParsedFilter, FilterError> {
        self.enter(start)?;
        let inner = self.any()?;
        self.depth -= 1;
        match self.next()? {
            Lexed { token: Token::CloseBracket, .. } => {}
            Lexed { start, .. } => {
                return Err(self.error(start, "expected \"and\", \"or\" or \"]\""));
            }
        }
        let sub_follows = self.text.get(self.at..).is_some_and(|rest| rest.starts_with('.'));
        if !sub_follows {
            return Ok(Filter::Element(path, Box::new(inner)));
        }
        let Lexed { token, start } = self.next()?;
        let Token::Word(word) = token else {
            return Err(self.error(start, "expected \"and\", \"or\" or the end of the filter"));
        };
        if !self.syntax.loose_forms {
            return Err(self.error(start, "write the sub-attribute inside the brackets, as in emails[type eq \"work\" and value eq \"x\"]"));
        }
        self.notes.loose_form = true;
        let outer = self.attribute(word.get(1..).unwrap_or_default(), start + 1)?;
        Ok(Filter::Element(path, Box::new(Filter::And(vec![inner, outer]))))
    }

    fn literal(&mut self) -> Result<Literal, FilterError> {
        let Lexed { token, start } = self.next()?;
        let word = match token {
            Token::Text(text) => return Ok(Literal::Text(text)),
            Token::Word(word) => word,
            Token::End => {
                return Err(self.error(start, "the filter ends where a value was expected"));
            }
            Token::Open | Token::Close | Token::OpenBracket | Token::CloseBracket => {
                return Err(self.error(start, "expected a value"));
            }
        };
        match word {
            "true" => return Ok(Literal::Boolean(true)),
            "false" => return Ok(Literal::Boolean(false)),
            "null" => return Ok(Literal::Null),
            _ => {}
        }
        if is_number(word) {
            return Ok(Literal::Number(word.to_owned()));
        }
        let is_boolean = ["true", "false"].iter().any(|name| word.eq_ignore_ascii_case(name));
        if self.syntax.bare_words && !word.starts_with('\'')
            || self.syntax.loose_forms && is_boolean
        {
            return Ok(Literal::Word(word.to_owned()));
        }
        Err(self.error(
            start,
            format!("\"{}\" is not a value; write texts in double quotes", excerpt(word)),
        ))
    }
}

fn one_or(
    mut terms: Vec<ParsedFilter>,
    many: fn(Vec<ParsedFilter>) -> ParsedFilter,
) -> ParsedFilter {
    match terms.pop() {
        Some(only) if terms.is_empty() => only,
        Some(last) => {
            terms.push(last);
            many(terms)
        }
        None => many(terms),
    }
}
