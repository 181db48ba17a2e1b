//! Filters (RFC 7644 §3.4.2.2): one tree in two states, read by an evaluator here and by stores.
//!
//! Text becomes a [`ParsedFilter`], whose names are those of the client. Resolving it against a kind gives
//! a [`ResolvedFilter`] without names and literals: it has references to definitions, and operands in
//! comparable form. Its readers need neither a schema nor a rule of case.

mod eval;
mod parse;
mod resolve;

use crate::error::Error;
use crate::lenient::Repairs;
use crate::path::{AttrPath, AttrRef};
use crate::quirks::{Applied, Quirks};
use crate::schema::ResourceType;

pub use eval::{Relations, element_matches, sort_key};
pub(crate) use eval::{row, rows_match};
pub use parse::{MAX_BYTES, MAX_DEPTH, MAX_TERMS, Notes, Syntax};
pub(crate) use resolve::Context;

/// A filter over attributes `A` with operands `O`.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter<A, O> {
    /// All of them are true; so is the conjunction of none.
    And(Vec<Filter<A, O>>),
    /// Any of them is true; the disjunction of none is false.
    Or(Vec<Filter<A, O>>),
    /// The complement, also for absent attributes.
    Not(Box<Filter<A, O>>),
    /// The attribute has a value.
    Present(A),
    /// Some value of the attribute satisfies the comparison.
    Compare(A, Comparison, O),
    /// One value of the attribute satisfies the inner filter as a whole.
    Element(A, Box<Filter<A, O>>),
}

/// A filter as the client wrote it.
pub type ParsedFilter = Filter<AttrPath, Literal>;

/// A filter that a store or the evaluator can read.
pub type ResolvedFilter = Filter<AttrRef, Operand>;

/// Reads a filter and resolves it against a kind.
///
/// # Errors
///
/// `invalidFilter`.
pub fn parse_filter(
    kind: &ResourceType,
    quirks: Quirks,
    applied: &mut Applied,
    text: &str,
) -> Result<ResolvedFilter, Error> {
    Context { kind, quirks, applied, unknown_is_absent: false }.parse_and_resolve(text)
}

impl ParsedFilter {
    /// Reads a filter with the spellings that the tenant allows.
    ///
    /// # Errors
    ///
    /// `invalidFilter`.
    pub(crate) fn parse_leniently(text: &str, repairs: &mut Repairs<'_>) -> Result<Self, Error> {
        let syntax = Syntax {
            bare_words: repairs.quirks.has(Quirks::BARE_WORDS),
            loose_forms: repairs.quirks.has(Quirks::FILTER_FORMS),
        };
        let (filter, notes) = Self::parse_with(text, syntax)?;
        if notes.loose_form {
            repairs.applied.note(Quirks::FILTER_FORMS);
        }
        Ok(filter)
    }
}

/// The operators of RFC 7644 Table 3, without `pr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `eq`
    Equal,
    /// `ne`
    NotEqual,
    /// `co`
    Contains,
    /// `sw`
    StartsWith,
    /// `ew`
    EndsWith,
    /// `gt`
    Greater,
    /// `ge`
    GreaterOrEqual,
    /// `lt`
    Less,
    /// `le`
    LessOrEqual,
}

impl Comparison {
    /// All operators with their names.
    pub const ALL: [(&'static str, Self); 9] = [
        ("eq", Self::Equal),
        ("ne", Self::NotEqual),
        ("co", Self::Contains),
        ("sw", Self::StartsWith),
        ("ew", Self::EndsWith),
        ("gt", Self::Greater),
        ("ge", Self::GreaterOrEqual),
        ("lt", Self::Less),
        ("le", Self::LessOrEqual),
    ];

    /// Returns whether the operand is searched in the value.
    pub(crate) fn is_of_a_part(self) -> bool {
        matches!(self, Self::Contains | Self::StartsWith | Self::EndsWith)
    }

    /// Compares a present value with an operand, both in comparable form.
    pub fn holds(self, value: &str, operand: &str) -> bool {
        match self {
            Self::Equal => value == operand,
            Self::NotEqual => value != operand,
            Self::Contains => value.contains(operand),
            Self::StartsWith => value.starts_with(operand),
            Self::EndsWith => value.ends_with(operand),
            Self::Greater => value > operand,
            Self::GreaterOrEqual => value >= operand,
            Self::Less => value < operand,
            Self::LessOrEqual => value <= operand,
        }
    }
}

/// A value in a filter, as JSON writes it.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean(bool),
    /// A number, with the digits that the client wrote.
    Number(String),
    /// A text in quotes.
    Text(String),
    /// A word without quotes, where the tenant allows it. Its attribute decides what it means.
    Word(String),
}

/// A value in the comparable form of the attribute it is compared with; see
/// [`crate::index::comparable`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operand(pub String);

impl Operand {
    /// Returns a time in microseconds since the epoch, and whether it has a finer fraction.
    pub fn moment(&self) -> Option<(i64, bool)> {
        let bits = u64::from_str_radix(self.0.get(..16)?, 16).ok()?;
        Some(((bits ^ (1 << 63)).cast_signed(), self.0.get(16..)? != "000"))
    }
}

impl<A, O> Filter<A, O> {
    /// The filter that everything satisfies.
    pub const fn everything() -> Self {
        Self::And(Vec::new())
    }

    /// The filter that nothing satisfies.
    pub const fn nothing() -> Self {
        Self::Or(Vec::new())
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod worst_cases;
