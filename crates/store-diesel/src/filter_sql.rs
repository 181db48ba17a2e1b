//! Filters as SQL over `resources r`: bound values only, no dialect, no three-valued logic.
//!
//! A predicate on rows of another table is an uncorrelated `IN`, which both databases turn into index
//! probes, unless no index narrows it down. Every predicate is true or false and never unknown, so
//! that `NOT` is the exact complement (FLT-031).

use std::sync::Arc;

use headcount_core::filter::{Comparison, Filter, Operand, ResolvedFilter};
use headcount_core::index::prefix_end;
use headcount_core::path::{AttrRef, AttrSource};

use crate::dictionary::Dictionary;
use crate::sql::Sql;

/// What compiling needs to know about the query.
pub(crate) struct Scope<'a> {
    pub(crate) tenant: i64,
    pub(crate) kind: i32,
    pub(crate) dictionary: &'a Dictionary,
}

/// A filter, divided into what the database answers and what is left to the evaluator.
pub(crate) struct Compiled {
    /// Holds for every resource that satisfies the filter.
    pub(crate) sql: Option<Sql>,
    /// What has to be evaluated over their documents; none when the SQL is the whole filter.
    pub(crate) residual: Option<ResolvedFilter>,
    /// Whether the statement has one of the few shapes that are used all the time.
    pub(crate) common: bool,
}

impl Scope<'_> {
    /// Compiles a filter as far as columns and index rows answer it.
    pub(crate) fn compile(&self, filter: &ResolvedFilter) -> Compiled {
        if let Some(sql) = self.exact(filter) {
            return Compiled { sql: Some(sql), residual: None, common: is_common(filter) };
        }
        let Filter::And(terms) = filter else {
            return Compiled { sql: None, residual: Some(filter.clone()), common: false };
        };
        let mut sql: Option<Sql> = None;
        let mut rest = Vec::new();
        for term in terms {
            let Compiled { sql: part, residual, .. } = self.compile(term);
            if let Some(part) = part {
                // An alternative binds less tightly than what it is joined to.
                let part = Sql::new("(").then(part).text(")");
                sql = Some(match sql {
                    Some(sql) => sql.text(" AND ").then(part),
                    None => part,
                });
            }
            rest.extend(residual);
        }
        Compiled { sql, residual: Some(Filter::And(rest)), common: false }
    }

    /// Compiles a filter whole, or not at all.
    pub(crate) fn exact(&self, filter: &ResolvedFilter) -> Option<Sql> {
        match filter {
            Filter::And(terms) => Connective::And.join(terms, |term| self.exact(term)),
            Filter::Or(terms) => Connective::Or.join(terms, |term| self.exact(term)),
            Filter::Not(inner) => Some(Sql::new("NOT (").then(self.exact(inner)?).text(")")),
            Filter::Present(at) => self.present(at),
            Filter::Compare(at, comparison, operand) => self.compare(at, *comparison, operand),
            Filter::Element(at, inner) => self.element(at, inner),
        }
    }

    fn present(&self, at: &AttrRef) -> Option<Sql> {
        match &at.source {
            AttrSource::Id
            | AttrSource::Created
            | AttrSource::Modified
            | AttrSource::Version
            | AttrSource::ResourceType => Some(Sql::new("1 = 1")),
            AttrSource::Name => Some(Sql::new("r.name_key IS NOT NULL")),
            AttrSource::ExternalId => Some(Sql::new("r.external_id IS NOT NULL")),
            AttrSource::Active => Some(Sql::new("r.active IS NOT NULL")),
            AttrSource::Indexed(path) => Some(self.index_rows(path)?.text(")")),
            AttrSource::Members | AttrSource::Groups => {
                let column = match &at.sub_attribute {
                    None => Sql::new("1 = 1"),
                    Some(sub) => self.row_present(at, &sub.name)?,
                };
                Some(self.rows(at)?.then(column).text(")"))
            }
            AttrSource::Schemas | AttrSource::Document => None,
        }
    }

    fn compare(&self, at: &AttrRef, comparison: Comparison, operand: &Operand) -> Option<Sql> {
        let text = operand.0.as_str();
        match &at.source {
            AttrSource::Id => Some(compare_column("r.id", Nulls::Never, comparison, text)),
            AttrSource::Name => {
                Some(compare_column("r.name_key", Nulls::Possible, comparison, text))
            }
            AttrSource::ExternalId => {
                Some(compare_column("r.external_id", Nulls::Possible, comparison, text))
            }
            AttrSource::Active => Some(flag(comparison, text)),
            AttrSource::Created => moment("r.created", comparison, operand),
            AttrSource::Modified => moment("r.modified", comparison, operand),
            AttrSource::Version => version(comparison, text),
            AttrSource::Indexed(path) => {
                // A value of several without `primary` is not primary and has no row for it (CHR-037).
                if is_defaulted(at) && (comparison != Comparison::Equal || text != "1") {
                    return None;
                }
                let rows = self.index_rows(path)?;
                if comparison == Comparison::NotEqual {
                    // Some value differs, or there is none (FLT-010).
                    let differs = rows.clone().text(" AND x.value <> ").string(text).text(")");
                    return Some(
                        Sql::new("(").then(differs).text(" OR NOT (").then(rows).text(")))"),
                    );
                }
                let matches = compare_column("x.value", Nulls::Never, comparison, text);
                Some(rows.text(" AND ").then(matches).text(")"))
            }
            AttrSource::Members | AttrSource::Groups => {
                let sub = at.sub_attribute.as_ref()?;
                let rows = self.rows(at)?;
                let matching =
                    rows.clone().then(self.row_compare(at, &sub.name, comparison, text)?).text(")");
                if comparison == Comparison::NotEqual {
                    let any = rows.then(self.row_present(at, &sub.name)?).text(")");
                    return Some(
                        Sql::new("(").then(matching).text(" OR NOT (").then(any).text("))"),
                    );
                }
                Some(matching)
            }
            AttrSource::Schemas | AttrSource::ResourceType | AttrSource::Document => None,
        }
    }

    fn element(&self, at: &AttrRef, inner: &ResolvedFilter) -> Option<Sql> {
        if matches!(at.source, AttrSource::Members | AttrSource::Groups) {
            return Some(self.rows(at)?.text("(").then(self.row_filter(at, inner)?).text("))"));
        }
        // A row has one value and its `type`: rows answer a filter over these two, if nothing without the
        // value can satisfy it.
        let row = IndexRow { path: row_path(inner)? };
        // Each value of a list of plain values has its row.
        if !at.is_simple_list() && !row.is_needed(inner) {
            return None;
        }
        let predicate = row.predicate(inner)?;
        let rows = match is_selective(inner) {
            true => self.index_rows(&row.path),
            false => self.own_rows(&row.path),
        };
        Some(rows?.text(" AND (").then(predicate).text("))"))
    }

    /// `EXISTS (SELECT … rows of this resource and one path`, open at its end.
    ///
    /// The index by value does not contain the label, so that each of its entries costs a read of the row.
    /// Where the value narrows nothing down, the rows of each resource, which are adjacent, are read instead; a
    /// page then ends with its last resource.
    fn own_rows(&self, path: &str) -> Option<Sql> {
        let path = self.dictionary.path(path)?;
        let sql =
            Sql::new("EXISTS (SELECT 1 FROM resource_index x WHERE x.pk = r.pk AND x.path = ");
        Some(sql.int(path))
    }

    /// `r.pk IN (SELECT … one path`, open at its end.
    fn index_rows(&self, path: &str) -> Option<Sql> {
        let path = self.dictionary.path(path)?;
        let sql = Sql::new("r.pk IN (SELECT x.pk FROM resource_index x WHERE ")
            .watched()
            .text("x.tenant = ")
            .int(self.tenant);
        Some(sql.text(" AND x.kind = ").int(self.kind).text(" AND x.path = ").int(path))
    }

    /// `r.pk IN (SELECT … membership rows WHERE … AND `, open at its end.
    fn rows(&self, at: &AttrRef) -> Option<Sql> {
        let sql = match at.source {
            AttrSource::Members => {
                Sql::new("r.pk IN (SELECT m.group_pk FROM group_members m WHERE ")
            }
            AttrSource::Groups => Sql::new(
                "r.pk IN (SELECT m.member_pk FROM group_members m JOIN resources g ON g.pk = m.group_pk WHERE ",
            ),
            _ => return None,
        };
        Some(sql.watched().text("m.tenant = ").int(self.tenant).text(" AND "))
    }

    fn row_filter(&self, at: &AttrRef, filter: &ResolvedFilter) -> Option<Sql> {
        match filter {
            Filter::And(terms) => Connective::And.join(terms, |term| self.row_filter(at, term)),
            Filter::Or(terms) => Connective::Or.join(terms, |term| self.row_filter(at, term)),
            Filter::Not(inner) => {
                Some(Sql::new("NOT (").then(self.row_filter(at, inner)?).text(")"))
            }
            Filter::Present(leaf) => self.row_present(at, &leaf.sub_attribute.as_ref()?.name),
            Filter::Compare(leaf, comparison, Operand(text)) => {
                self.row_compare(at, &leaf.sub_attribute.as_ref()?.name, *comparison, text)
            }
            Filter::Element(..) => None,
        }
    }

    fn row_present(&self, at: &AttrRef, sub: &str) -> Option<Sql> {
        match (&at.source, sub) {
            (AttrSource::Members | AttrSource::Groups, "value" | "type") => Some(Sql::new("1 = 1")),
            (AttrSource::Groups, "display") => Some(Sql::new("g.name_key IS NOT NULL")),
            _ => None,
        }
    }

    fn row_compare(
        &self,
        at: &AttrRef,
        sub: &str,
        comparison: Comparison,
        text: &str,
    ) -> Option<Sql> {
        match (&at.source, sub) {
            // By the member's key, which is indexed; its id in the row is not.
            (AttrSource::Members, "value") if comparison == Comparison::Equal => Some(
                Sql::new("m.member_pk IN (SELECT u.pk FROM resources u WHERE ")
                    .unindexed("u.tenant", self.tenant)
                    .text(" AND u.id = ")
                    .string(text)
                    .text(")"),
            ),
            (AttrSource::Members, "value") => {
                Some(compare_column("m.member_id", Nulls::Never, comparison, text))
            }
            (AttrSource::Members, "type") => {
                let kinds = self.dictionary.kinds().iter();
                let holds = kinds.filter(|(_, kind)| {
                    comparison.holds(&headcount_core::index::fold(kind.as_str()), text)
                });
                let numbers: Vec<i64> = holds.map(|(id, _)| i64::from(*id)).collect();
                Some(Sql::new("m.member_kind IN (").ints(&numbers).text(")"))
            }
            (AttrSource::Groups, "value") => {
                Some(compare_column("g.id", Nulls::Never, comparison, text))
            }
            (AttrSource::Groups, "display") => {
                Some(compare_column("g.name_key", Nulls::Possible, comparison, text))
            }
            (AttrSource::Groups, "type") => {
                Some(Sql::new(if comparison.holds("direct", text) { "1 = 1" } else { "1 = 0" }))
            }
            _ => None,
        }
    }
}

/// How terms are joined.
#[derive(Clone, Copy)]
enum Connective {
    And,
    Or,
}

impl Connective {
    /// Joins terms, each in parentheses; none when one of them cannot be compiled.
    fn join(
        self,
        terms: &[ResolvedFilter],
        compile: impl Fn(&ResolvedFilter) -> Option<Sql>,
    ) -> Option<Sql> {
        let (word, empty) = match self {
            Self::And => (" AND ", "1 = 1"),
            Self::Or => (" OR ", "1 = 0"),
        };
        let mut joined: Option<Sql> = None;
        for term in terms {
            let part = Sql::new("(").then(compile(term)?).text(")");
            joined = Some(match joined {
                Some(sql) => sql.text(word).then(part),
                None => part,
            });
        }
        Some(joined.unwrap_or_else(|| Sql::new(empty)))
    }
}

/// Returns whether an index by value finds few rows for a filter inside an element.
fn is_selective(filter: &ResolvedFilter) -> bool {
    match filter {
        Filter::And(terms) => terms.iter().any(is_selective),
        Filter::Or(terms) => terms.iter().all(is_selective),
        Filter::Compare(at, Comparison::Equal | Comparison::StartsWith, Operand(text)) => {
            matches!(at.source, AttrSource::Indexed(_)) && !text.is_empty()
        }
        Filter::Not(_) | Filter::Present(_) | Filter::Compare(..) | Filter::Element(..) => false,
    }
}

/// Whether a column can be empty.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nulls {
    Never,
    Possible,
}

/// Compares a column with a text.
fn compare_column(column: &'static str, nulls: Nulls, comparison: Comparison, text: &str) -> Sql {
    let sql = match comparison {
        Comparison::NotEqual => {
            let differs = Sql::new(column).text(" <> ").string(text);
            return match nulls {
                Nulls::Never => differs,
                Nulls::Possible => {
                    Sql::new("(").text(column).text(" IS NULL OR ").then(differs).text(")")
                }
            };
        }
        Comparison::Equal => Sql::new(column).text(" = ").string(text),
        Comparison::Greater => Sql::new(column).text(" > ").string(text),
        Comparison::GreaterOrEqual => Sql::new(column).text(" >= ").string(text),
        Comparison::Less => Sql::new(column).text(" < ").string(text),
        Comparison::LessOrEqual => Sql::new(column).text(" <= ").string(text),
        // A prefix is a range of bytes, which an index serves.
        Comparison::StartsWith => {
            let sql = Sql::new(column).text(" >= ").string(text);
            match prefix_end(text) {
                Some(end) => sql.text(" AND ").text(column).text(" < ").string(end),
                None => sql,
            }
        }
        Comparison::Contains if text.is_empty() => Sql::new("1 = 1"),
        Comparison::Contains => {
            Sql::new("instr(").text(column).text(", ").string(text).text(") > 0")
        }
        // The suffix begins at a number of characters, as everything here is counted.
        Comparison::EndsWith => Sql::new("length(")
            .text(column)
            .text(") >= length(")
            .string(text)
            .text(") AND substr(")
            .text(column)
            .text(", length(")
            .text(column)
            .text(") - length(")
            .string(text)
            .text(") + 1) = ")
            .string(text),
    };
    if nulls == Nulls::Possible {
        Sql::new("(").text(column).text(" IS NOT NULL AND ").then(sql).text(")")
    } else {
        Sql::new("(").then(sql).text(")")
    }
}

fn flag(comparison: Comparison, text: &str) -> Sql {
    let value = i64::from(text == "1");
    match comparison {
        Comparison::NotEqual => Sql::new("(r.active IS NULL OR r.active <> ").int(value).text(")"),
        _ => Sql::new("(r.active IS NOT NULL AND r.active = ").int(value).text(")"),
    }
}

/// Compares a time kept in microseconds with one that may be finer.
fn moment(column: &'static str, comparison: Comparison, operand: &Operand) -> Option<Sql> {
    let (micros, finer) = operand.moment()?;
    let operator = match (comparison, finer) {
        (Comparison::Equal, true) => return Some(Sql::new("1 = 0")),
        (Comparison::NotEqual, true) => return Some(Sql::new("1 = 1")),
        (Comparison::Equal, false) => " = ",
        (Comparison::NotEqual, false) => " <> ",
        (Comparison::Greater, _) | (Comparison::GreaterOrEqual, true) => " > ",
        (Comparison::GreaterOrEqual, false) => " >= ",
        (Comparison::Less, false) => " < ",
        (Comparison::LessOrEqual, _) | (Comparison::Less, true) => " <= ",
        (Comparison::Contains | Comparison::StartsWith | Comparison::EndsWith, _) => return None,
    };
    Some(Sql::new(column).text(operator).int(micros))
}

fn version(comparison: Comparison, text: &str) -> Option<Sql> {
    let counter = text.strip_prefix("W/\"").and_then(|rest| rest.strip_suffix('"'));
    // Only the canonical spelling is the version: no sign, no leading zero.
    let counter = counter
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0'));
    let counter = counter.and_then(|digits| digits.parse::<i64>().ok());
    match (comparison, counter) {
        (Comparison::Equal, Some(counter)) => Some(Sql::new("r.version = ").int(counter)),
        (Comparison::NotEqual, Some(counter)) => Some(Sql::new("r.version <> ").int(counter)),
        (Comparison::Equal, None) => Some(Sql::new("1 = 0")),
        (Comparison::NotEqual, None) => Some(Sql::new("1 = 1")),
        _ => None,
    }
}

/// Returns whether the attribute is `primary` of a multi-valued one, which is false when it is absent.
fn is_defaulted(at: &AttrRef) -> bool {
    at.is_plural() && at.sub_attribute.as_ref().is_some_and(|sub| &*sub.name == "primary")
}

fn is_type(at: &AttrRef) -> bool {
    at.sub_attribute.as_ref().is_some_and(|sub| &*sub.name == "type")
}

/// Returns the path whose rows can answer a filter inside brackets: the one indexed sub-attribute that the
/// filter is about. An indexed `type` yields to another one, whose rows have the type as their label.
fn row_path(filter: &ResolvedFilter) -> Option<Arc<str>> {
    let mut leaves = Vec::new();
    collect_leaves(filter, &mut leaves);
    let (types, others): (Vec<_>, Vec<_>) = leaves.into_iter().partition(|at| is_type(at));
    others.into_iter().chain(types).find_map(|at| match &at.source {
        AttrSource::Indexed(path) => Some(Arc::clone(path)),
        _ => None,
    })
}

fn collect_leaves<'f>(filter: &'f ResolvedFilter, leaves: &mut Vec<&'f AttrRef>) {
    match filter {
        Filter::And(terms) | Filter::Or(terms) => {
            for term in terms {
                collect_leaves(term, leaves);
            }
        }
        Filter::Not(inner) => collect_leaves(inner, leaves),
        Filter::Present(at) | Filter::Compare(at, ..) => leaves.push(at),
        Filter::Element(..) => {}
    }
}

/// The index row `x` of one path.
struct IndexRow {
    path: Arc<str>,
}

impl IndexRow {
    /// Returns whether the row's value is that of the attribute.
    fn is_of(&self, at: &AttrRef) -> bool {
        matches!(&at.source, AttrSource::Indexed(path) if *path == self.path)
    }

    /// Returns whether only a value that has such a row can satisfy the filter.
    fn is_needed(&self, filter: &ResolvedFilter) -> bool {
        match filter {
            Filter::And(terms) => terms.iter().any(|term| self.is_needed(term)),
            Filter::Or(terms) => !terms.is_empty() && terms.iter().all(|term| self.is_needed(term)),
            Filter::Not(_) | Filter::Element(..) => false,
            Filter::Present(at) => self.is_of(at),
            Filter::Compare(at, comparison, Operand(text)) => {
                self.is_of(at)
                    && *comparison != Comparison::NotEqual
                    && (!is_defaulted(at) || text == "1")
            }
        }
    }

    /// Returns the column for an attribute, and whether it may be null.
    fn column(&self, at: &AttrRef) -> Option<(&'static str, Nulls)> {
        if self.is_of(at) {
            return Some(("x.value", Nulls::Never));
        }
        // Rows of a singular attribute have no type.
        (is_type(at) && at.is_plural()).then_some(("x.label", Nulls::Possible))
    }

    /// Compiles a filter over the row; none when it is about anything but its value and type.
    fn predicate(&self, filter: &ResolvedFilter) -> Option<Sql> {
        match filter {
            Filter::And(terms) => Connective::And.join(terms, |term| self.predicate(term)),
            Filter::Or(terms) => Connective::Or.join(terms, |term| self.predicate(term)),
            Filter::Not(inner) => Some(Sql::new("NOT (").then(self.predicate(inner)?).text(")")),
            Filter::Present(at) => {
                let (column, nulls) = self.column(at)?;
                Some(match nulls {
                    Nulls::Possible => Sql::new(column).text(" IS NOT NULL"),
                    Nulls::Never => Sql::new("1 = 1"),
                })
            }
            Filter::Compare(at, comparison, Operand(text)) => {
                let (column, nulls) = self.column(at)?;
                Some(compare_column(column, nulls, *comparison, text))
            }
            Filter::Element(..) => None,
        }
    }
}

/// Returns whether a filter has one of the shapes that identity providers use all day: one or two equalities.
fn is_common(filter: &ResolvedFilter) -> bool {
    match filter {
        Filter::And(terms) => terms.len() <= 2 && terms.iter().all(is_equality),
        other => is_equality(other),
    }
}

fn is_equality(filter: &ResolvedFilter) -> bool {
    matches!(filter, Filter::Compare(_, Comparison::Equal, _))
}

#[cfg(test)]
mod tests;
